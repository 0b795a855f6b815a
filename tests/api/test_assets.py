"""Downloads from a server that misbehaves: each ends in the right file or in a clear message."""

import hashlib

import pytest
from bad_server import CONTENT, DIGEST

from fsig_bench.api.assets import Asset, assets_in, check_space
from fsig_bench.api.fetching import fetch


def asset(server, name, tmp_path, **changes):
    values = {"file": "w.bin", "url": f"{server.base}/{name}", "page": "http://page", "mib": 1}
    values |= {"licence": "CC0", "sha256": DIGEST[:8], "path": None}
    return Asset(**(values | changes))


def seen_files(folder):
    """What is there, but for the locks."""
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    return tmp_path


def test_a_file_is_fetched_once_and_reported(server, cache):
    seen = []
    file = asset(server, "good", cache)
    assert file.get(lambda have, total: seen.append((have, total))).read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 2
    assert file.get() == cache / "w.bin" and len(server.asked) == 1
    assert seen_files(cache) == ["w.bin", "w.bin.sha256.json"]


def test_a_transfer_that_was_cut_off_is_continued(server, cache):
    file = asset(server, "cut", cache)
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match=r"cut off after \d+ of 1048576 bytes"):
            file.get()
        assert not file.target.exists()
    assert file.get().read_bytes() == CONTENT
    assert [start for _, start in server.asked] == [0, len(CONTENT) // 2, len(CONTENT) * 3 // 4]


def test_a_server_without_ranges_starts_over(server, cache):
    (cache / "w.bin.part").write_bytes(b"x" * 1000)
    assert asset(server, "no-ranges", cache).get().read_bytes() == CONTENT


def test_a_finished_part_needs_no_server(server, cache):
    (cache / "w.bin.part").write_bytes(CONTENT)
    assert asset(server, "gone", cache).get().read_bytes() == CONTENT
    assert not server.asked


def test_a_web_page_in_the_files_place_is_recognised(server, cache):
    with pytest.raises(FileNotFoundError, match=r"web page instead .*http://page"):
        asset(server, "confirm", cache).get()
    assert not seen_files(cache)


def test_other_bytes_are_refused_and_removed(server, cache):
    wanted = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(FileNotFoundError, match=rf"other bytes: 1048576 .*{DIGEST}"):
        asset(server, "good", cache, sha256=wanted).get()
    assert not seen_files(cache)


def test_a_longer_leftover_is_dropped(server, cache):
    (cache / "w.bin.part").write_bytes(b"x" * (len(CONTENT) + 5))
    assert asset(server, "good", cache).get().read_bytes() == CONTENT
    assert [start for _, start in server.asked] == [len(CONTENT) + 5, 0]


def test_a_silent_server_and_a_missing_page(server, cache):
    with pytest.raises(OSError, match=r"sent nothing for 0\.3 s; run again"):
        fetch(f"{server.base}/slow", cache / "w.bin", sha256=DIGEST, timeout_s=0.3)
    assert not (cache / "w.bin").exists()
    with pytest.raises(FileNotFoundError, match=r"404.*put it at .*w\.bin"):
        asset(server, "gone", cache).get()


def test_no_network_says_name_size_licence_source_and_place(cache):
    lost = Asset(
        file="w.bin",
        url="http://127.0.0.1:9/w.bin",
        page="http://page",
        sha256="0" * 64,
        mib=91,
        licence="CC0",
        path=None,
    )
    with pytest.raises(FileNotFoundError) as error:
        lost.get()
    for part in ("w.bin", "91 MiB", "CC0", "http://127.0.0.1:9/w.bin", str(cache), "http://page"):
        assert part in str(error.value)


def test_a_file_of_ones_own_is_checked(server, cache):
    mine = cache / "mine.bin"
    mine.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"mine\.bin has sha256 .*another file or damaged"):
        asset(server, "good", cache, path=str(mine)).get()
    with pytest.raises(FileNotFoundError, match=r"nowhere\.bin does not exist"):
        asset(server, "good", cache, path=str(cache / "nowhere.bin")).get()
    assert not server.asked


def test_assets_are_found_at_any_depth(server, cache):
    one = asset(server, "good", cache)
    config = {"a": [{"weights": dict(vars(one))}], "b": {"weights": "file.safetensors"}}
    assert assets_in(config) == [one]


def test_too_little_space_is_said_before_the_first_byte(server, cache, tmp_path):
    big = asset(server, "good", cache, mib=1e9)
    with pytest.raises(OSError, match=r"1000000000 MiB are to be fetched .*FSIG_BENCH_CACHE"):
        check_space([big])
    check_space([asset(server, "good", cache), asset(server, "good", cache, mib=1e9, path="/x")])
    assert not server.asked
