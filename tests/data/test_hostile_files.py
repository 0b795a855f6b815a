"""Files that are not what they say, or too large; imports that were killed."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from fsig_bench.api.owners import HOST, own_path
from fsig_bench.data import archives
from fsig_bench.data.archives import members
from fsig_bench.data.importing import fingerprint, import_images
from fsig_bench.data.opening import LARGEST_MEGAPIXELS, open_image
from fsig_bench.data.reading import check_headers, look_at, read_native, read_pixels
from fsig_bench.runs import main as runs

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def chunk(name, data):
    body = name + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def bomb(width, height):
    """A PNG that says it is huge, and holds a few bytes."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "good.png"
    Image.fromarray(np.arange(4800, dtype=np.uint8).reshape(40, 40, 3)).save(path)
    return path


READERS = [
    lambda path: read_pixels([path], resolution=8, resize="center_pil_lanczos"),
    lambda path: look_at([path]),
    lambda path: check_headers([path]),
    read_native,
]


@pytest.mark.parametrize("read", READERS)
def test_postscript_under_another_name_starts_nothing(read, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a program was started"))
    path = tmp_path / "shot.png"
    path.write_bytes(POSTSCRIPT)
    with Image.open(path) as image:
        assert image.format == "EPS"  # what Pillow makes of it by itself
    with pytest.raises(ValueError, match=r"shot\.png: it is no image of the formats PNG, JPEG"):
        read(path)
    with pytest.raises(OSError, match="whatever its name says"):
        fingerprint(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("size", [(30_000, 30_000), (89_001, 1000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused_with_its_size(read, size, tmp_path):
    path = tmp_path / "shot.png"
    path.write_bytes(bomb(*size))
    millions = round(size[0] * size[1] / 1e6)
    words = rf"{size[0]} x {size[1]} = {millions} megapixels, and at most {LARGEST_MEGAPIXELS} are"
    with pytest.raises(ValueError, match=words):
        read(path)


def test_pillows_own_limit_is_as_before_and_good_images_open(picture):
    limit = Image.MAX_IMAGE_PIXELS
    assert limit is not None
    with open_image(picture) as image:
        assert image.size == (40, 40) and image.format == "PNG"
    with open_image(io.BytesIO(picture.read_bytes())) as image:
        assert image.size == (40, 40)
    assert Image.MAX_IMAGE_PIXELS == limit


@pytest.mark.parametrize("form", ["jpg", "png", "webp", "bmp", "tif", "gif"])
def test_every_format_that_is_listed_is_read(form, picture, tmp_path):
    path = tmp_path / f"x.{form}"
    Image.open(picture).save(path)
    assert look_at([path])[0].width == 40


def test_no_image_is_opened_but_through_the_one_door():
    for package in ("fsig_bench", "baselines"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "opening.py":
                assert "Image.open(" not in path.read_text(), path


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_GIB", 1)


@pytest.mark.parametrize("packing", ["", "gz", "xz"])
def test_a_tar_bomb_is_refused_before_it_is_unpacked(packing, small_limit, tmp_path, picture):
    path = tmp_path / "bomb.tar"
    with tarfile.open(path, f"w:{packing}") as file:
        file.add(picture, "a.png")
        huge = tarfile.TarInfo("zeros.bin")  # no image: it would only be passed over
        huge.size = 3 << 30
        file.fileobj.write(huge.tobuf())
        file.fileobj.write(bytes(1 << 16))
    with pytest.raises(ValueError, match=r"unpacks to more than 1 GiB .*3\.0 GiB in 2 files"):
        list(members(path))
    with pytest.raises(ValueError, match="unpack it yourself and give the folder"):
        import_images(path, tmp_path / "set" / "shots")
    assert [p.name for p in (tmp_path / "set").iterdir()] == [".shots.lock"]


def test_a_zip_bomb_and_too_many_members_are_refused(small_limit, tmp_path, picture, monkeypatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for n in range(40):
            file.writestr(f"{n}.png", bytes(1000))
        for entry in file.filelist:
            entry.file_size = 30 << 20  # what the archive says of its members
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"unpacks to more than 1 GiB or 500000 files: 1\.0 GiB"):
        list(members(path))
    with zipfile.ZipFile(path, "w") as file:
        for n in range(40):
            file.write(picture, f"{n}.png")
    assert len(list(members(path))) == 40
    monkeypatch.setattr(archives, "MOST_MEMBERS", 39)
    with pytest.raises(ValueError, match=r"in 40 files up to 39\.png"):
        list(members(path))


IMPORT = """
import os, sys; from pathlib import Path
sys.path.insert(0, sys.argv[3])
from fsig_bench.data.importing import import_images
def kill(seen): os.kill(os.getpid(), 9)
import_images(Path(sys.argv[1]), Path(sys.argv[2]), check=kill)
"""


def killed_import(source, target):
    words = [sys.executable, "-c", IMPORT, str(source), str(target), str(ROOT)]
    assert subprocess.run(words).returncode == -9
    return list(target.parent.glob(".*.tmp"))


def test_what_a_killed_import_left_goes_with_the_next(tmp_path, picture):
    source, target = tmp_path / "in", tmp_path / "data" / "own" / "shots"
    source.mkdir()
    picture.rename(source / "a.png")
    assert len(killed_import(source, target)) == 1 and not target.exists()
    living = own_path(target, "tmp").with_name(f".shots.{HOST}.{os.getppid()}.tmp")
    living.mkdir()
    import_images(source, target)
    assert [p.name for p in target.iterdir()] == ["a.png"]
    assert list(target.parent.glob(".*.tmp")) == [living]


def test_prune_finds_killed_imports_and_downloads(tmp_path, picture, monkeypatch, capsys):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "cache"))
    source, target = tmp_path / "in", tmp_path / "cache" / "data" / "own" / "shots"
    source.mkdir()
    picture.rename(source / "a.png")
    (left,) = killed_import(source, target)
    part = tmp_path / "cache" / "w.bin.part"
    part.write_bytes(b"x")
    os.utime(part, (1, 1))
    (tmp_path / "cache" / "new.part").write_bytes(b"x")  # somebody may be working on it
    (tmp_path / "results").mkdir()
    where = f"results_dir={tmp_path / 'results'}"
    assert runs(["prune", where]) == 0
    out = capsys.readouterr().out
    assert str(left) in out and str(part) in out and "2 pieces" in out and left.exists()
    assert runs(["prune", where, "yes=true"]) == 0
    assert not left.exists() and not part.exists()
    assert (tmp_path / "cache" / "new.part").exists()
    other = killed_import(source, tmp_path / "elsewhere" / "own" / "shots")
    assert runs(["prune", where, f"data_dir={tmp_path / 'elsewhere'}", "yes=true"]) == 0
    assert len(other) == 1 and not other[0].exists()


def test_prepared_sets_follow_the_cache(tmp_path, monkeypatch):
    from helpers import composed

    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "disk"))
    node = composed("suite=paper", "method=copy", "dataset=babies")
    assert Path(node.dataset.path) == tmp_path / "disk" / "data" / "babies" / "shots"
    monkeypatch.delenv("FSIG_BENCH_CACHE")
    assert composed("method=copy", "dataset=babies").data_dir == "~/.cache/fsig_bench/data"
