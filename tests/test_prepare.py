"""Preparing published sets: imports, archives that misbehave, and what a run then finds."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, make_cell
from PIL import Image

from fsig_bench.data.importing import import_images, members, near_duplicates
from fsig_bench.prepare import archive, check_count, choices, prepare

TEN = "00102 00402 01821 02081 04574 04944 06611 07934 09440 10390".split()
FEWSHOT = ROOT.parent / "shared" / "data" / "fewshot"


def photo(seed, side=40):
    g = np.random.default_rng(seed)
    coarse = Image.fromarray(g.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((side, side), Image.Resampling.BICUBIC)


def png(seed, side=40):
    out = io.BytesIO()
    photo(seed, side).save(out, "PNG")
    return out.getvalue()


def zipped(path, content):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def babies(tmp_path):
    """The ten under their names in a zip, and a full set that holds one of them again, smaller."""
    shots = zipped(tmp_path / "ten.zip", {f"babies/{n}.png": png(i) for i, n in enumerate(TEN)})
    full = tmp_path / "full"
    full.mkdir()
    for i in range(20):
        (full / f"{i}.png").write_bytes(png(100 + i))
    (full / "again.png").write_bytes(png(3, side=32))
    return [
        "dataset=babies",
        f"data_dir={tmp_path / 'data'}",
        f"shots={shots}",
        f"reference={full}",
    ]


def test_a_set_is_imported_and_a_run_finds_it(babies, tmp_path, capsys):
    folder = prepare([*babies, "accept_licence=true"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["images"] == {"shots": 10, "reference": 21}
    assert "CC BY-NC-SA" in manifest["licence"] and len(manifest["sha256"]["shots"]) == 10
    assert manifest["near_duplicates"] == {"02081.png": ["again.png"]}
    assert any("2000 to 3000 expected" in r for r in manifest["remarks"])
    out = capsys.readouterr().out
    assert "CC BY-NC-SA" in out and "near-duplicates" in out
    words = ["suite=paper", "method=copy", "dataset=babies", f"data_dir={tmp_path / 'data'}"]
    cell = make_cell(*words, "device=cpu")
    assert cell.dataset.shot_names(10, 0) == [f"{n}.png" for n in TEN]
    assert cell.dataset.shots(10, 0).shape == (10, 3, 256, 256)
    assert {a.file for a in cell.assets} == {"inception-2015-12-05.pt", "vgg16-397923af.pth"}
    # A second call does nothing, and images of one's own replace a part.
    assert prepare(babies[:2]) == folder
    with pytest.raises(ValueError, match=r"k=11 shots asked for"):
        make_cell(*words, "k=11")


def test_the_licence_comes_first(babies, tmp_path):
    with pytest.raises(ValueError, match="licence was not accepted; nothing was written"):
        prepare([*babies, "accept_licence=no"])
    with pytest.raises(ValueError, match="say accept_licence=true"):
        prepare(babies)
    assert not (tmp_path / "data").exists()


def test_a_folder_of_nine_is_refused(babies, tmp_path):
    nine = zipped(tmp_path / "nine.zip", {f"{n}.png": png(i) for i, n in enumerate(TEN[:9])})
    with pytest.raises(ValueError, match=r"nine.zip lacks \['10390.png'\]"):
        prepare([*babies[:2], f"shots={nine}", babies[3], "accept_licence=true"])
    with pytest.raises(ValueError, match="9 shots found, 10 expected"):
        check_count("shots", 9, 10)
    assert check_count("reference", 2500, [2000, 3000]) is None


def test_what_is_not_prepared_says_how():
    for name, words in (
        ("babies", r"prepare dataset=babies \(licence: CC BY-NC-SA"),
        ("cats", r"dataset=cats is not in suite=paper"),
    ):
        with pytest.raises(ValueError, match=words):
            make_cell("suite=paper", "method=copy", f"dataset={name}", "data_dir=/nowhere/at/all")
    with pytest.raises(ValueError, match=r"dataset=panda is not in suite=mini"):
        make_cell("method=copy", "dataset=panda")
    with pytest.raises(ValueError, match=r"say which.*dataset=babies"):
        choices([])
    with pytest.raises(ValueError, match=r"unknown \['datset'\]; there are dataset="):
        choices(["datset=babies"])
    with pytest.raises(ValueError, match="dataset=dogs"):
        prepare(["dataset=dogs"])
    with pytest.raises(ValueError, match="needs no preparation"):
        prepare(["dataset=babies", "suite=mini"])


def test_a_dead_link_says_how_to_import_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    dead = {"url": "http://127.0.0.1:9/babies.zip"}
    with pytest.raises(ValueError, match=r"127.0.0.1:9.*by hand from http://page.*shots=FILE"):
        archive("babies", "shots", dead, "http://page")
    with pytest.raises(ValueError, match="no download of the reference is known"):
        archive("babies", "reference", None, "http://page")


def test_members_cannot_leave_the_folder(tmp_path):
    evil = zipped(
        tmp_path / "evil.zip",
        {"../../outside.png": png(0), "/etc/absolute.png": png(1), "a/../b/ok.png": png(2)},
    )
    found = import_images(evil, tmp_path / "in" / "shots")
    assert [p.name for p in found] == ["absolute.png", "ok.png", "outside.png"]
    inside = {p for p in tmp_path.rglob("*.png")}
    assert inside == {tmp_path / "in" / "shots" / p.name for p in found}
    with tarfile.open(tmp_path / "evil.tar", "w") as file:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
        entry = tarfile.TarInfo("../../up.png")
        entry.size = len(png(3))
        file.addfile(entry, io.BytesIO(png(3)))
    assert [name for name, _ in members(tmp_path / "evil.tar")] == ["up.png"]


def test_rubbish_is_named_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "set" / "shots"
    broken = zipped(tmp_path / "broken.zip", {"a.png": png(0)[:60], "b.png": png(1)})
    with pytest.raises(ValueError, match=r"1 of 2 images cannot be read:\n  a.png"):
        import_images(broken, target)
    clash = zipped(tmp_path / "clash.zip", {"x/a.png": png(0), "y/a.png": png(1)})
    with pytest.raises(ValueError, match="two different images called a.png"):
        import_images(clash, target)
    page = tmp_path / "page.zip"
    page.write_text("<html>Sign in</html>")
    with pytest.raises(ValueError, match="no folder, zip or tar"):
        import_images(page, target)
    with pytest.raises(ValueError, match="holds no images"):
        import_images(zipped(tmp_path / "none.zip", {"readme.txt": b"x"}), target)
    assert not list((tmp_path / "set").iterdir())
    twice = zipped(tmp_path / "twice.zip", {"x/a.png": png(0), "y/a.png": png(0), ".b.png": b""})
    assert [p.name for p in import_images(twice, target)] == ["a.png"]


def test_near_duplicates_survive_a_resize_and_jpeg_and_not_a_change(tmp_path):
    files = {}
    for name, image in (
        ("shot.png", photo(0, 200)),
        ("small.png", photo(0, 200).resize((90, 90))),
        ("photo.jpg", photo(0, 200)),
        ("other.png", photo(1, 200)),
    ):
        files[name] = tmp_path / name
        image.save(files[name], quality=60)
    found = near_duplicates(
        [files["shot.png"]], [files[n] for n in ("small.png", "photo.jpg", "other.png")]
    )
    assert found == {"shot.png": ["small.png", "photo.jpg"]}


def test_the_real_ten_have_the_canonical_names(tmp_path):
    if not FEWSHOT.exists():
        pytest.skip(f"no photographs at {FEWSHOT.name}")
    for name in ("babies", "sunglasses"):
        words = [f"dataset={name}", f"data_dir={tmp_path}", f"shots={FEWSHOT / name}"]
        folder = prepare([*words, f"reference={FEWSHOT / 'sketches'}", "accept_licence=true"])
        assert len(list((folder / "shots").iterdir())) == 10
        cell = make_cell("suite=paper", "method=copy", f"dataset={name}", f"data_dir={tmp_path}")
        assert cell.dataset.shots(10, 0).float().std() > 20


def test_one_set_is_taken_out_of_a_pack_of_several(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "cache"))
    pack = {f"few-shot-images/shells/img/{n}.jpg": png(n) for n in range(64)}
    pack |= {f"few-shot-images/skulls/img/{n}.jpg": png(100 + n) for n in range(97)}
    downloads = tmp_path / "cache" / "downloads"
    downloads.mkdir(parents=True)
    # Both sets name one file on Drive, which is fetched once.
    zipped(downloads / "1aAJCZbXNHyraJ6Mi13dSbe7pTyfPXha0", pack)
    for name, count in (("shells", 64), ("skulls", 97)):
        words = [f"dataset={name}", f"data_dir={tmp_path}", "accept_licence=true"]
        manifest = json.loads((prepare(words) / "manifest.json").read_text())
        assert manifest["images"] == {"shots": count} and not manifest["remarks"]
        assert (tmp_path / name / "shots" / "3.jpg").read_bytes() == png(3 if count == 64 else 103)
    with pytest.raises(ValueError, match="no images in a folder anime-face; give that folder"):
        prepare(["dataset=anime", f"data_dir={tmp_path}", "accept_licence=true"])
    folder = tmp_path / "mine"
    folder.mkdir()
    for n in range(120):
        (folder / f"{n}.png").write_bytes(png(n))
    own = ["dataset=anime", f"data_dir={tmp_path}", f"shots={folder}", "accept_licence=true"]
    assert len(list((prepare(own) / "shots").iterdir())) == 120


COUNTS = {"obama": 100, "grumpy_cat": 100, "panda": 100, "ffhq100": 100, "anime": 120}
COUNTS |= {"animalface_cat": 160, "animalface_dog": 389, "skulls": 97, "shells": 64}


def test_every_prepared_set_states_licence_origin_and_count():
    from helpers import composed

    for path in sorted((ROOT / "conf" / "domain").glob("paper-*.yaml")):
        name = path.stem.removeprefix("paper-")
        node = composed("suite=paper", "method=copy", f"dataset={name}").dataset
        assert node.name == name and node.origin.licence and node.origin.page
        assert node.origin.images.shots == COUNTS.get(name, 10)
        if node.shots_list is not None:
            assert len(set(node.shots_list)) == 10
        assert Path(node.path).name == "shots"
