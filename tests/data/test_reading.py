import os
import random

import numpy as np
import pytest
import torch
from helpers import ROOT, cli
from PIL import Image

from fsig_bench.data.folder import ImageFolder
from fsig_bench.data.reading import list_images, read_images, read_pixels

RED, GREY = (200, 30, 40), 120


def solid(colour=RED, size=(16, 16), mode="RGB"):
    return Image.new(mode, size, colour)


def read(*paths, resolution=8, resize="center_pil_box"):
    return read_images(list(paths), resolution=resolution, resize=resize)


def colour_of(path, **kw):
    return read(path, **kw)[0].float().mean((1, 2)).tolist()


def test_modes_come_out_as_seen(tmp_path):
    ink = Image.merge("CMYK", [Image.new("L", (16, 16), v) for v in (0, 255, 255, 0)])
    ink.save(tmp_path / "cmyk.jpg", quality=95)
    assert colour_of(tmp_path / "cmyk.jpg") == pytest.approx([255, 0, 0], abs=6)
    solid(GREY, mode="L").save(tmp_path / "grey.png")
    assert colour_of(tmp_path / "grey.png") == [GREY] * 3
    Image.fromarray(np.full((16, 16), 32768, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert colour_of(tmp_path / "deep.png") == pytest.approx(
        [128] * 3, abs=1
    )  # scaled, not clipped
    solid((*RED, 0), mode="RGBA").save(tmp_path / "clear.png")
    assert colour_of(tmp_path / "clear.png") == [255] * 3
    half = solid((*RED, 128), mode="RGBA")
    half.save(tmp_path / "half.webp", lossless=True)
    expected = [c * 128 / 255 + 255 * 127 / 255 for c in RED]
    assert colour_of(tmp_path / "half.webp") == pytest.approx(expected, abs=2)
    solid((10, 0), mode="LA").save(tmp_path / "la.png")
    assert colour_of(tmp_path / "la.png") == [255] * 3
    palette = solid().quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    assert colour_of(tmp_path / "palette.png") == [255] * 3


def test_exif_rotation_is_applied(tmp_path):
    image = solid((0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 8, 8))  # stored: bright upper left
    exif = image.getexif()
    exif[0x0112] = 6  # shown: turned by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    shown = read(tmp_path / "turned.png")[0, 0]
    assert shown[0, 7] == 255 and shown[0, 0] == shown[7, 7] == 0


def test_recipes_crop_or_squash(tmp_path):
    image = solid((0, 0, 0), (48, 16))
    image.paste((255, 255, 255), (16, 0, 32, 16))
    image.save(tmp_path / "wide.png")
    assert read(tmp_path / "wide.png").float().mean() == 255
    squashed = read(tmp_path / "wide.png", resize="squash_pil_box").float().mean()
    assert squashed == pytest.approx(85, abs=2)
    with pytest.raises(ValueError, match=r"center_pil_lanczos"):
        read(tmp_path / "wide.png", resize="nearest")


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [solid((250, 0, 0)), solid((0, 0, 250))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert colour_of(tmp_path / "a.gif")[0] > 200


def test_all_bad_files_are_named_at_once(tmp_path):
    solid().save(tmp_path / "good.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "cut.jpg")
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError) as error:
        read(*list_images(tmp_path))
    text = str(error.value)
    assert text.startswith("3 of 4 images")
    assert all(n in text for n in ("empty.png", "text.png", "cut.jpg")) and "good.png" not in text


def test_files_are_listed_in_natural_order(tmp_path):
    for name in ("img10.PNG", "img2.png", "Img1.jpg", ".hidden.png", "notes.txt"):
        solid().save(tmp_path / name, "PNG") if name != "notes.txt" else (tmp_path / name).touch()
    assert [p.name for p in list_images(tmp_path)] == ["Img1.jpg", "img2.png", "img10.PNG"]
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        list_images(tmp_path / "sub")
    with pytest.raises(ValueError, match="not a folder"):
        list_images(tmp_path / "absent")


def folder(path, **changes):
    values = {"name": "f", "path": str(path), "reference": None, "n_ref": None, "resolution": 8}
    values |= {"resize": "center_pil_box", "shots_resize": None, "shots_list": None}
    return ImageFolder(**(values | changes))


@pytest.fixture
def ten(tmp_path):
    rng = random.Random(0)
    for i in range(10):
        solid(tuple(rng.randrange(256) for _ in range(3))).save(tmp_path / f"{i}.png")
    return tmp_path


def test_shots_by_order_by_list_and_by_subset(ten):
    assert folder(ten).shot_names(3, 0) == ["0.png", "1.png", "2.png"]
    assert folder(ten, shots_list=["7.png", "2.png"]).shot_names(2, 0) == ["7.png", "2.png"]
    other = folder(ten).shot_names(3, 1)
    assert other == folder(ten).shot_names(3, 1) != folder(ten).shot_names(3, 2)
    with pytest.raises(ValueError, match=r"99\.png"):
        folder(ten, shots_list=["99.png"]).check(1, 0)
    with pytest.raises(ValueError, match="k=11 .*holds 10.*k<=10"):
        folder(ten).check(11, 0)


def test_shots_are_taken_out_of_the_reference(ten):
    with_reference = folder(ten, reference=str(ten))
    assert len(with_reference.reference_images(4, 0)) == 6
    assert folder(ten).reference_images(4, 0) is None
    with pytest.raises(ValueError, match=r"n_ref=40.*holds 10"):
        folder(ten, reference=str(ten), n_ref=40).check(2, 0)


def test_a_damaged_reference_is_named_before_any_work(ten, tmp_path_factory):
    reference = tmp_path_factory.mktemp("reference")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(noise[:, :, ::-1] if name == "a.png" else noise).save(reference / name)
    whole = (reference / "c.png").read_bytes()
    (reference / "c.png").write_bytes(whole[: len(whole) // 2])  # its header is sound
    out = tmp_path_factory.mktemp("out")
    words = [f"dataset.path={ten}", f"dataset.reference={reference}", f"results_dir={out}", "k=2"]
    done = cli("method=copy", "dataset=folder", "num_images=4", "controls=[]", *words, check=False)
    assert done.returncode != 0 and "c.png" in done.stdout + done.stderr
    assert "1 of 3 images cannot be read" in done.stdout + done.stderr
    assert not list(out.rglob("*.safetensors")) and not list(out.rglob("samples*"))


def test_fingerprints_follow_content_and_recipe_not_time(ten):
    first = folder(ten).fingerprint(3, 0)
    os.utime(ten / "0.png", (1, 1))
    assert folder(ten).fingerprint(3, 0) == first
    assert folder(ten, resize="squash_pil_box").fingerprint(3, 0) != first
    assert folder(ten, resolution=16).fingerprint(3, 0) != first
    solid((1, 2, 3)).save(ten / "0.png")
    assert folder(ten).fingerprint(3, 0) != first


REAL = os.environ.get("FSIG_FEWSHOT", str(ROOT.parent / "shared" / "data" / "fewshot"))


def test_halving_then_bicubic_is_what_guided_diffusion_does(tmp_path):
    """By hand: 62 x 30 px is halved once to 31 x 15, then brought to 17 x 8, then cropped."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 62, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    wide = np.asarray(picture, dtype=np.uint16)  # PIL rounds after each of its two passes
    narrow = (wide[:, ::2] + wide[:, 1::2] + 1) // 2
    half = Image.fromarray(((narrow[::2] + narrow[1::2] + 1) // 2).astype(np.uint8))
    expected = np.asarray(half.resize((17, 8), Image.Resampling.BICUBIC))[:, 4:12]
    got = read_pixels([tmp_path / "a.png"], resolution=8, resize="center_halved_bicubic")[0]
    assert np.array_equal(got, expected)


def test_shots_may_be_read_otherwise_than_the_reference(tmp_path):
    for n in range(4):
        pixels = np.random.default_rng(n).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    both = {"reference": str(tmp_path), "resize": "squash_pil_bicubic"}
    plain, other = (folder(tmp_path, **both, shots_resize=r) for r in (None, "squash_pil_bilinear"))
    for images in (plain, other):
        images.check(2, 0)
        assert len(images.reference_images(2, 0)) == 2  # the shots are known however they are read
    bilinear = read(*(tmp_path / f"{n}.png" for n in (0, 1)), resize="squash_pil_bilinear")
    assert torch.equal(other.shots(2, 0), bilinear) and not torch.equal(plain.shots(2, 0), bilinear)
    assert other.fingerprint(2, 0) != plain.fingerprint(2, 0)
    assert other.reference_fingerprint() == plain.reference_fingerprint()
    assert torch.equal(other.reference_images(2, 0), plain.reference_images(2, 0))
    with pytest.raises(ValueError, match="squash_pil_blinear"):
        folder(tmp_path, shots_resize="squash_pil_blinear").check(2, 0)


@pytest.mark.skipif(not os.path.isdir(REAL), reason=f"real target images are not at {REAL}")
@pytest.mark.parametrize("name", ["babies", "sketches"])
def test_real_target_images_are_read(name):
    images = folder(f"{REAL}/{name}", resolution=64, resize="center_pil_lanczos").shots(10, 0)
    assert images.shape == (10, 3, 64, 64)
    assert len({i.numpy().tobytes() for i in images}) == 10
    assert images.float().std() > 20
    assert torch.equal(images, images.clone())
