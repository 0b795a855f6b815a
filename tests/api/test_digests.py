"""Files at rest: a process reads them before it believes them; the first digest is pinned."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from helpers import ROOT

from fsig_bench.api import digests
from fsig_bench.api.assets import Asset
from fsig_bench.api.digests import check_at_rest, digest_for_keys, read_pin, sha256_once

CONTENT = bytes(range(256)) * 64
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(CONTENT)
    return path


def flip(path):
    """Changes one bit, and neither size nor time."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    with path.open("r+b") as opened:
        opened.write(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


USE = """
import sys; sys.path.insert(0, sys.argv[2])
from fsig_bench.api.assets import Asset
sha256 = sys.argv[3] or None
asset = Asset(file="w.bin", url=None, page="p", sha256=sha256, mib=1, licence="l", path=sys.argv[1])
print(asset.digest)
asset.get()
"""


@pytest.mark.parametrize("stated", [None, DIGEST[:8], DIGEST])
def test_a_flipped_bit_at_the_same_size_and_time_is_seen_by_the_next_process(stated, file):
    words = [sys.executable, "-c", USE, str(file), str(ROOT), stated or ""]
    first = subprocess.run(words, capture_output=True, text=True)
    assert first.returncode == 0 and first.stdout.strip() == (stated or DIGEST), first.stderr
    flip(file)
    second = subprocess.run(words, capture_output=True, text=True)
    assert second.returncode == 1
    assert second.stdout.strip() == (stated or DIGEST)  # keys need no reading, use does
    assert "another file or damaged" in second.stderr


def test_a_file_is_read_once_in_a_process(file, monkeypatch):
    read = []
    monkeypatch.setattr(digests, "sha256_of", lambda path: read.append(path) or DIGEST)
    assert [sha256_once(file) for _ in range(3)] == [DIGEST] * 3 and len(read) == 1
    os.utime(file, ns=(1, 1))
    sha256_once(file)
    replaced = file.with_name("new")
    replaced.write_bytes(CONTENT)
    os.utime(replaced, ns=(1, 1))
    replaced.replace(file)  # the same path, size and time, another inode
    sha256_once(file)
    assert len(read) == 3


def test_hashing_ahead_overlaps_and_is_waited_for(file, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(digests, "sha256_of", lambda path: go.wait(5) and DIGEST)
    begin = time.perf_counter()
    digests.start_hashing(file)
    assert time.perf_counter() - begin < 2  # it does not wait
    go.set()
    monkeypatch.setattr(digests, "sha256_of", lambda path: pytest.fail("read a second time"))
    assert sha256_once(file) == DIGEST


def test_what_a_large_file_costs_is_a_line_once(file, monkeypatch):
    sha256_once(file)
    assert digests.hashing_cost(file) is None  # a small one
    monkeypatch.setattr(digests, "LARGE", 1000)
    os.utime(file, ns=(2, 2))
    sha256_once(file)
    assert digests.hashing_cost(file).startswith("checked w.bin: sha256 of 0 MiB in 0.0 s")
    assert digests.hashing_cost(file) is None


def test_the_digest_is_pinned_at_first_use(file):
    assert check_at_rest(file) == DIGEST and read_pin(file).sha256 == DIGEST
    file.write_bytes(CONTENT[::-1])
    for use in (check_at_rest, digest_for_keys):
        with pytest.raises(ValueError, match=rf"had {DIGEST} when .*remove .*bin\.sha256\.json"):
            use(file)
    read_pin(file).place.unlink()
    assert check_at_rest(file) == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_a_copy_of_the_same_bytes_is_the_same_file(file, monkeypatch):
    check_at_rest(file)
    os.utime(file, ns=(3, 3))
    assert digest_for_keys(file) == DIGEST
    monkeypatch.setattr(digests, "sha256_of", lambda path: pytest.fail("read for a key"))
    assert digest_for_keys(file) == DIGEST


def test_a_stated_digest_needs_no_pin(file):
    assert check_at_rest(file, DIGEST.upper()) == DIGEST and read_pin(file) is None
    with pytest.raises(ValueError, match=r"w\.bin has sha256 .*another file or damaged"):
        check_at_rest(file, "0" * 64)


@pytest.mark.parametrize("text", ["", "{", '{"stamp": [1, 2]}', '{"sha256": "x", "stamp": [1, 2]}'])
def test_a_damaged_pin_is_named_with_the_remedy(text, file):
    check_at_rest(file)
    read_pin(file).place.write_text(text)
    with pytest.raises(ValueError, match=r"w\.bin\.sha256\.json is damaged.*Remove it if you"):
        check_at_rest(file)


def test_a_pin_of_a_read_only_folder_is_in_the_cache(file, cache, monkeypatch):
    real = digests.write_json

    def refuse(path, value):
        if path.parent == file.parent:
            raise PermissionError(path)
        real(path, value)

    monkeypatch.setattr(digests, "write_json", refuse)
    check_at_rest(file)
    assert read_pin(file).place.parent == cache / "pins"
    flip(file)
    digests._found.clear()
    with pytest.raises(ValueError, match="first used"):
        check_at_rest(file)


def test_a_key_with_a_pin_costs_little(file):
    asset = Asset(file="w.bin", url=None, page="p", sha256=None, mib=1, licence="l", path=str(file))
    assert asset.digest == DIGEST
    place = read_pin(file).place
    with file.open("r+b") as opened:
        opened.truncate(8 << 30)  # 8 GiB of holes: hashing them takes seconds
    stat = file.stat()
    stamp = [stat.st_size, stat.st_mtime_ns]
    place.write_text(json.dumps({"sha256": DIGEST, "stamp": stamp}))
    begin = time.perf_counter()
    assert asset.digest == DIGEST
    assert time.perf_counter() - begin < 0.05
