"""Bad downloads without a known digest are refused or put right; good ones of each format come."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from bad_server import CONTENT, PAGE
from helpers import ROOT

from fsig_bench.api.assets import Asset
from fsig_bench.api.fetching import fetch
from fsig_bench.api.formats import fault_in, is_markup, kind_of
from fsig_bench.api.owners import HOST, is_abandoned, left_behind, own_path

sys.path.insert(0, str(ROOT / "tests" / "bench"))
import bad_downloads

NOISE = bytes(range(256)) * 400
GOOD = {name: make(NOISE) for name, make in bad_downloads.FORMATS.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    return tmp_path


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("sized", [True, False])
def test_a_good_file_of_each_format_comes(name, sized, server, cache):
    server.content = GOOD[name]
    if sized:
        fetch(f"{server.base}/{name}", cache / name, sha256=None)
        assert (cache / name).read_bytes() == GOOD[name]
        return
    part = cache / f"other-{name}"
    part.write_bytes(GOOD[name])
    fault = fault_in(part, kind_of(name), length_known=False)
    assert fault is None if name != "w.bin" else "how long it is" in fault


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_of_torch_come_in_both_layouts(zipped, server, cache):
    path = cache / "made.pth"
    values = {"a": torch.arange(2000.0)}
    torch.save(values, path, _use_new_zipfile_serialization=zipped)
    server.content = path.read_bytes()
    fetch(f"{server.base}/w.pth", cache / "w.pth", sha256=None)
    assert (cache / "w.pth").read_bytes() == server.content
    with pytest.raises(ValueError, match="damaged|how long"):
        fetch(f"{server.base}/short/w.pth", cache / "short.pth", sha256=None)


@pytest.mark.parametrize(
    "way, name, words",
    [
        ("short", "w.pth", "damaged or incomplete"),
        ("short", "w.safetensors", r"safetensors of \d+ bytes in a file of \d+"),
        ("short", "w.tar", "a tar that is cut off"),
        ("short", "w.json", "damaged or incomplete"),
        ("short", "w.bin", "neither server nor format says how long it is"),
        ("short-stated", "w.bin", r"cut off after \d+ of \d+ bytes; run again"),
        ("longer", "w.bin", "more bytes than it stated"),
        ("gzip", "w.pth", "no checkpoint of torch"),
        ("gzip", "w.bin", "bytes packed by gzip"),
        ("gzip-named", "w.json", "bytes packed by gzip"),
        ("denied", "w.pth", "a web page instead"),
        ("marked-denied", "w.json", "a web page instead"),
        ("commented-page", "w.bin", "a web page instead"),
        ("wide-page", "w.bin", "a web page instead"),
        ("json-error", "w.json", "an error message"),
        ("empty", "w.bin", "an empty file"),
    ],
)
def test_a_bad_download_is_refused_in_words(way, name, words, server, cache):
    server.content = GOOD[name]
    with pytest.raises((ValueError, OSError), match=words):
        fetch(f"{server.base}/{way}/{name}", cache / name, sha256=None)
    assert not (cache / name).exists()
    left = [p.name for p in cache.iterdir() if not p.name.endswith((".lock", ".part", ".json"))]
    assert not left


def test_no_bad_download_of_the_benchmark_is_accepted(capsys):
    count = len(bad_downloads.TRIES) + 1
    assert bad_downloads.main(count) == 0
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    assert sum(int(row[2]) for row in rows) == count
    assert all(row[2] == row[3] for row in rows) and len(rows) >= 12


def test_three_processes_at_once_download_once(server, cache):
    words = [f"{server.base}/crowded/w.bin", str(cache / "w.bin"), str(ROOT)]
    crowd = [subprocess.Popen([sys.executable, "-c", bad_downloads.ONE, *words]) for _ in range(3)]
    assert [process.wait() for process in crowd] == [0, 0, 0]
    assert (cache / "w.bin").read_bytes() == CONTENT
    assert server.asked == [("/crowded/w.bin", 0)]


@pytest.mark.parametrize("way", ["ignores-range", "no-range-field", "lies-on-range"])
def test_a_range_that_is_ignored_starts_over(way, server, cache):
    server.cut_once.append(way)
    with pytest.raises(OSError, match="cut off"):
        fetch(f"{server.base}/{way}/w.bin", cache / "w.bin", sha256=None)
    fetch(f"{server.base}/{way}/w.bin", cache / "w.bin", sha256=None)
    assert (cache / "w.bin").read_bytes() == CONTENT
    assert [start for _, start in server.asked] == [0, len(CONTENT) // 2, 0]


@pytest.mark.parametrize("way, starts", [("plain", 2), ("careless", 3)])
def test_a_part_of_another_etag_is_not_continued(way, starts, server, cache):
    server.cut_once.append(way)
    with pytest.raises(OSError, match="cut off"):
        fetch(f"{server.base}/{way}", cache / "w.bin", sha256=None)
    server.tag, server.content = '"two"', CONTENT[::-1]
    fetch(f"{server.base}/{way}", cache / "w.bin", sha256=None)
    assert (cache / "w.bin").read_bytes() == CONTENT[::-1]
    assert len(server.asked) == starts


def test_a_part_without_etag_or_digest_is_not_continued(server, cache):
    (cache / "w.bin.part").write_bytes(b"x" * 1000)
    fetch(f"{server.base}/plain", cache / "w.bin", sha256=None)
    assert (cache / "w.bin").read_bytes() == CONTENT
    assert server.asked == [("/plain", 0)]


def test_what_an_ended_process_left_is_continued(server, cache):
    part = cache / f".w.bin.{HOST}.{ended_process()}.part"
    part.write_bytes(CONTENT[:1000])
    note = {"url": f"{server.base}/plain", "etag": server.tag}
    part.with_name(f"{part.name}.json").write_text(json.dumps(note))
    foreign = cache / f".w.bin.elsewhere.{ended_process()}.part"
    foreign.write_bytes(CONTENT[:2000])  # may belong to a living process of another machine
    fetch(f"{server.base}/plain", cache / "w.bin", sha256=None)
    assert (cache / "w.bin").read_bytes() == CONTENT
    assert server.asked == [("/plain", 1000)] and not part.exists() and foreign.exists()


def test_a_shared_cache_stays_shared_under_any_umask(server, cache):
    cache.chmod(0o2775)
    before = os.umask(0o022)
    try:
        fetch(f"{server.base}/plain", cache / "w.bin", sha256=None)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o060 for path in cache.iterdir()}
    assert set(modes) == {"w.bin", "w.bin.sha256.json", ".w.bin.lock"}
    assert set(modes.values()) == {0o060}


def test_a_size_unlike_the_stated_one_is_refused_before_the_transfer(server, cache):
    with pytest.raises(ValueError, match=r"states 1\.0 MiB, where about 91 are stated"):
        fetch(f"{server.base}/plain", cache / "w.bin", sha256=None, mib=91)
    assert not (cache / "w.bin").exists()


def test_the_first_bytes_are_pinned_and_compared_ever_after(server, cache):
    values = {"file": "w.bin", "url": f"{server.base}/plain", "page": "http://page", "mib": 1}
    file = Asset(**values, licence="CC0", sha256=None, path=None)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert file.digest == digest and file.get().read_bytes() == CONTENT
    file.target.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(FileNotFoundError, match=rf"first time \(sha256 {digest}.*remove .*json"):
        file.get()
    (cache / "w.bin.sha256.json").unlink()
    assert file.digest == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_owners_of_temporary_files_are_told_apart(tmp_path):
    target = tmp_path / "shots"
    mine, other = own_path(target, "tmp"), tmp_path / ".shots.elsewhere.1.tmp"
    dead = tmp_path / f".shots.{HOST}.{ended_process()}.tmp"
    for folder in (mine, other, dead):
        folder.mkdir()
    assert left_behind(target, "tmp") == [dead]
    assert not is_abandoned(mine) and not is_abandoned(other)
    assert left_behind(tmp_path / "shot", "tmp") == []


def test_markup_is_recognised_and_numbers_are_not():
    assert is_markup(PAGE) and is_markup(b"\xef\xbb\xbf\n <?xml ?>") and is_markup(b"<!-- a")
    assert is_markup("<html>".encode("utf-16"))
    assert not is_markup(b"<\x00\x01") and not is_markup(b"PK\x03\x04") and not is_markup(b"")
