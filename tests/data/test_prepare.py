"""Preparing published sets: imports, archives that misbehave, and what a run then finds."""

import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, make_cell
from PIL import Image

from fsig_bench.data.importing import (
    HASH_BITS,
    fingerprint,
    import_images,
    members,
    near_duplicates,
)
from fsig_bench.data.reading import Seen
from fsig_bench.data.remarks import check_count, remarks_on
from fsig_bench.prepare import described, prepare
from fsig_bench.runner.sets import archive

TEN = "00102 00402 01821 02081 04574 04944 06611 07934 09440 10390".split()
FEWSHOT = Path(os.environ.get("FSIG_FEWSHOT", ROOT.parent / "shared" / "data" / "fewshot"))


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


def visible(folder):
    """What is there, but for the locks."""
    return [path for path in folder.iterdir() if not path.name.endswith(".lock")]


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
    # Another edition of a shot is none of the held-out images.
    assert len(cell.dataset.reference_images(10, 0)) == 20
    kept = [p.name for p in cell.dataset.files("reference", 10, 0)]
    assert len(kept) == 20 and "again.png" not in kept
    assert len(cell.dataset.reference_images(3, 0)) == 21  # 02081 is the fourth shot
    # A second call does nothing, and images of one's own replace a part.
    assert prepare(babies[:2]) == folder
    with pytest.raises(ValueError, match=r"k=11 shots asked for"):
        make_cell(*words, "k=11")


def test_the_licence_comes_first(babies, tmp_path):
    with pytest.raises(ValueError, match="licence was not accepted; nothing was written"):
        prepare([*babies, "accept_licence=false"])
    with pytest.raises(ValueError, match="say accept_licence=true"):
        prepare(babies)
    assert not (tmp_path / "data").exists()


def test_the_licence_is_accepted_once(babies, tmp_path, capsys):
    dead = [*babies[:3], f"reference={tmp_path / 'absent.zip'}"]
    with pytest.raises(ValueError, match=r"absent\.zip does not exist"):
        prepare([*dead, "accept_licence=true"])
    capsys.readouterr()
    prepare(babies)  # and it is shown again
    out = capsys.readouterr().out
    assert "CC BY-NC-SA" in out and "accepted before" in out


def test_an_import_that_is_refused_leaves_the_set_as_it_was(babies, tmp_path):
    folder = prepare([*babies, "accept_licence=true"])
    flat = {f"{n}.png": png(i) for i, n in enumerate(TEN)}
    flat["00102.png"] = flat_png()
    for content, words in (
        ({f"{n}.png": png(i) for i, n in enumerate(TEN[:9])}, "lacks"),
        (flat, "1 of 10 shots are of one colour"),
    ):
        bad = zipped(tmp_path / "bad.zip", content)
        with pytest.raises(ValueError, match=words):
            prepare([*babies[:2], f"shots={bad}"])
        assert (folder / "shots" / "00102.png").read_bytes() == png(0)
        assert prepare(babies[:2]) == folder


def flat_png():
    out = io.BytesIO()
    Image.new("RGB", (40, 40), (9, 9, 9)).save(out, "PNG")
    return out.getvalue()


def test_number_size_and_range_are_remarked_on():
    good = Seen(width=256, height=256, span=200)
    assert remarks_on("shots", [good] * 10, 10, 256) == []
    small, flat = Seen(width=300, height=200, span=90), Seen(width=512, height=512, span=3)
    said = remarks_on("reference", [good, small, flat], [10, 20], 256)
    assert said == [
        "3 images for the reference, 10 to 20 expected: another edition of the set?",
        "1 images for the reference are of one colour",
        "1 images for the reference are below 256 px: they are enlarged",
        "1 images for the reference are not square",
    ]
    assert "11 images for the shots, 10 expected" in remarks_on("shots", [good] * 11, 10, 256)[0]


@pytest.mark.parametrize("harm", ["missing", "changed", "added"])
def test_a_set_that_is_no_longer_as_prepared_is_refused(harm, babies, tmp_path):
    folder = prepare([*babies, "accept_licence=true"])
    file = folder / "reference" / "7.png"
    if harm == "missing":
        file.unlink()
    elif harm == "changed":
        file.write_bytes(png(500))
    else:
        (folder / "reference" / "more.png").write_bytes(png(500))
    words = {"missing": "reference/7.png is missing", "changed": "reference/7.png has other bytes"}
    words["added"] = "reference/more.png is not in the manifest"
    with pytest.raises(ValueError, match=words[harm]):
        make_cell("suite=paper", "method=copy", "dataset=babies", f"data_dir={tmp_path / 'data'}")
    with pytest.raises(ValueError, match=f"has changed: {words[harm]}. Delete it"):
        prepare(babies[:2])


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
    with pytest.raises(ValueError, match=r"choose a set.*dataset=babies"):
        prepare([])
    with pytest.raises(ValueError, match=r"knows no datset=. Did you mean dataset"):
        prepare(["datset=babies"])
    with pytest.raises(ValueError, match="dataset=dogs"):
        prepare(["dataset=dogs"])
    with pytest.raises(ValueError, match="needs no preparation"):
        prepare(["dataset=babies", "suite=mini"])


def origin_of(name, **changes):
    return described({"dataset": name})["origin"] | changes


def test_a_dead_link_names_every_place_and_how_to_import_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    dead = {"url": "http://127.0.0.1:9/babies.zip"}
    with pytest.raises(ValueError, match=r"^http://127.0.0.1:9/babies.zip cannot be had") as error:
        archive("babies", "shots", origin_of("babies", shots=dead))
    text = str(error.value)
    for place in ("few-shot-gan-adaptation", "YuCao16/CRDI", "uni-DAD", "shots=FOLDER_OR_ZIP"):
        assert place in text
    assert "1xBpBRmPRoVXsWerv" not in text  # the reference's
    with pytest.raises(ValueError, match="no download of the reference is known") as error:
        archive("babies", "reference", origin_of("babies", reference=None))
    assert "1xBpBRmPRoVXsWerv" in str(error.value)


def test_what_is_no_archive_is_not_kept(tmp_path, monkeypatch, server):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    for page, words in (
        ("other", r"gave bytes that are no zip or tar: 1048576 bytes"),
        ("confirm", "a web page instead"),
        ("gone", "404"),
    ):
        source = {"url": f"{server.base}/{page}"}
        with pytest.raises(ValueError, match=words):
            archive("obama", "shots", origin_of("obama", shots=source, alternatives=[]))
        assert not visible(tmp_path / "downloads")
    zipped(tmp_path / "good.zip", {"a.png": png(0)})
    server.content = (tmp_path / "good.zip").read_bytes()
    found, inside = archive(
        "obama", "shots", origin_of("obama", shots={"url": f"{server.base}/good"})
    )
    assert [name for name, _ in members(found, inside)] == ["a.png"]


def test_several_sources_are_tried_in_turn(tmp_path, monkeypatch, server):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    zipped(tmp_path / "good.zip", {"set/a.png": png(0), "else/b.png": png(1)})
    server.content = (tmp_path / "good.zip").read_bytes()
    places = [f"{server.base}/{page}" for page in ("denied", "not-tried", "plain", "later")]
    others = [
        {"role": "shots", "at": at, "what": "a mirror", "tried": at != places[1], "inside": "set"}
        for at in places[1:]
    ]
    origin = origin_of("obama", shots={"url": places[0]}, alternatives=others)
    found, inside = archive("obama", "shots", origin)
    assert [name for name, _ in members(found, inside)] == ["a.png"]
    assert [path for path, _ in server.asked] == ["/denied", "/plain"]
    server.asked.clear()
    found.unlink()
    for other in others:
        other["at"] = f"{server.base}/gone/{other['at'][-5:]}"
    with pytest.raises(ValueError) as error:
        archive("obama", "shots", origin)
    text = str(error.value)
    assert text.count("cannot be had") == 3 and "a web page instead" in text
    assert text.count("/gone/") == 5  # two tried ones twice, with the answer, and one for people
    assert "none of them tried here:" in text


def test_a_kept_archive_that_changed_is_not_used(tmp_path, monkeypatch, server):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    server.content = zipped(tmp_path / "good.zip", {"a.png": png(0)}).read_bytes()
    origin = origin_of("obama", shots={"url": f"{server.base}/plain"}, alternatives=[])
    found, _ = archive("obama", "shots", origin)
    zipped(found, {"a.png": png(1)})
    with pytest.raises(ValueError, match="when it was first used"):
        archive("obama", "shots", origin)


def test_members_cannot_leave_the_folder(tmp_path):
    evil = zipped(
        tmp_path / "evil.zip",
        {
            "../../outside.png": png(0),
            "/etc/absolute.png": png(1),
            "a/../b/ok.png": png(2),
            "..\\..\\windows.png": png(4),
        },
    )
    found, _ = import_images(evil, tmp_path / "in" / "shots")
    assert [p.name for p in found] == ["absolute.png", "ok.png", "outside.png", "windows.png"]
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
    with pytest.raises(ValueError, match=r"1 of 2 images cannot be read.*:\n  a.png"):
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
    assert not visible(tmp_path / "set")
    twice = zipped(tmp_path / "twice.zip", {"x/a.png": png(0), "y/a.png": png(0), ".b.png": b""})
    assert [p.name for p in import_images(twice, target)[0]] == ["a.png"]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_an_archive_that_was_cut_off_is_said(kind, tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(12):
        noise = np.random.default_rng(i).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / f"{i}.png")
    form = {"tar": "tar", "tar.gz": "gztar", "tar.xz": "xztar", "zip": "zip"}[kind]
    whole = Path(shutil.make_archive(str(tmp_path / "whole"), form, tmp_path / "in"))
    assert len(list(members(whole))) == 12
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(whole.read_bytes()[:70_000])
    with pytest.raises(ValueError, match="damaged or incomplete|no folder, zip or tar"):
        import_images(cut, tmp_path / "set" / "shots")
    assert not visible(tmp_path / "set")


def test_a_locked_zip_is_said(tmp_path):
    data = zipped(tmp_path / "locked.zip", {"a.png": png(0)}).read_bytes()
    # bit 0 of the flags, in the local header and in the directory, means encrypted
    at = data.index(b"PK\x01\x02")
    locked = data[:6] + b"\x01" + data[7 : at + 8] + b"\x01" + data[at + 9 :]
    (tmp_path / "locked.zip").write_bytes(locked)
    with pytest.raises(ValueError, match=r"locked\.zip is locked.*password"):
        list(members(tmp_path / "locked.zip"))


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
    # The hash alone sees no hue: here it takes another picture for the same.
    photo(0, 200).point(lambda v: v // 2 + 64).save(tmp_path / "pale.png")
    files["pale.png"] = tmp_path / "pale.png"
    bits = [fingerprint(files[n])[0] for n in ("pale.png", "shot.png")]
    assert (bits[0] ^ bits[1]).bit_count() <= HASH_BITS
    others = [files[n] for n in ("small.png", "photo.jpg", "other.png", "pale.png")]
    found = near_duplicates([files["shot.png"]], others)
    assert found == {"shot.png": ["small.png", "photo.jpg"]}


def test_the_real_ten_have_the_canonical_names(tmp_path):
    if not FEWSHOT.exists():
        pytest.skip(f"no photographs at {FEWSHOT.name}")
    for name in ("babies", "sunglasses", "sketches"):
        other = "babies" if name == "sketches" else "sketches"
        words = [f"dataset={name}", f"data_dir={tmp_path}", f"shots={FEWSHOT / name}"]
        folder = prepare([*words, f"reference={FEWSHOT / other}", "accept_licence=true"])
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
        assert manifest["images"] == {"shots": count}
        assert all("below 256 px" in r for r in manifest["remarks"])  # none about their number
        assert (tmp_path / name / "shots" / "3.jpg").read_bytes() == png(3 if count == 64 else 103)
    with pytest.raises(ValueError, match="no images in a folder anime-face; give that folder"):
        prepare(["dataset=anime", f"data_dir={tmp_path}", "accept_licence=true"])
    folder = tmp_path / "mine"
    folder.mkdir()
    for n in range(120):
        (folder / f"{n}.png").write_bytes(png(n))
    own = ["dataset=anime", f"data_dir={tmp_path}", f"shots={folder}", "accept_licence=true"]
    assert len(list((prepare(own) / "shots").iterdir())) == 120


SIZES = {"obama": 100, "grumpy_cat": 100, "panda": 100, "ffhq100": 100, "animalface_cat": 160}
SIZES |= {"animalface_dog": 389, "anime": 120, "skulls": 97, "shells": 64}


def test_every_prepared_set_states_licence_origin_and_count():
    from helpers import composed

    for path in sorted((ROOT / "conf" / "in_suite" / "dataset" / "paper").glob("*.yaml")):
        name = path.stem
        node = composed("suite=paper", "method=copy", f"dataset={name}").dataset
        assert node.name == name and node.origin.licence and node.origin.page
        assert node.origin.images.shots == SIZES.get(name, 10)
        if node.shots_list is not None:
            assert len(set(node.shots_list)) == 10
        assert Path(node.path).name == "shots"
        places = [(a.role, a["at"]) for a in node.origin.alternatives]
        assert places and len(set(places)) == len(places)
        assert all(r in ("shots", "reference") and at.startswith("https") for r, at in places)
        for role in ("shots", "reference"):
            wanted = role == "shots" or node.reference is not None
            listed = [r for r, _ in places if r == role]
            assert bool(listed) == wanted or name == "metfaces"  # one archive holds both


def test_the_nine_sets_of_rs_imle_are_asked_for_whole():
    from helpers import composed

    text = (ROOT / "conf" / "experiment" / "paper_rs_imle.yaml").read_text()
    swept = next(ln for ln in text.splitlines() if ln.strip().startswith("dataset:"))
    assert sorted(swept.split(":")[1].strip().split(",")) == sorted(SIZES)
    for name, count in SIZES.items():
        node = composed("method=rs_imle", f"dataset={name}", "experiment=paper_rs_imle")
        assert node.k == count and node.num_images >= 5 * count
        assert node.dataset.origin.images.shots == count and node.dataset.reference is None


def test_canonical_lists_are_those_of_the_repositories():
    from helpers import composed

    lists = {
        "babies": TEN,
        "sunglasses": "00787 00831 00840 01700 02818 03414 04313 05553 05943 12377".split(),
        "sketches": [f"img{n}" for n in (38, 100, 119, 131, 193, 198, 221, 258, 270, 273)],
        "metfaces": "10760-00 11709-00 13094-00 16860-00 38777-00 435820-00 437264-00 437861-00"
        " 437904-00 53531-00".split(),
    }
    for name, names in lists.items():
        node = composed("suite=paper", "method=copy", f"dataset={name}").dataset
        assert list(node.shots_list) == [f"{n}.png" for n in names]
