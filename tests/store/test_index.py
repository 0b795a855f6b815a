"""The index of records: only a cache, never believed against the files."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import ROOT
from hostile_cases import sealed

from fsig_bench.report.markdown import report
from fsig_bench.report.records import load
from fsig_bench.runs import found_runs, listing
from fsig_bench.store import index
from fsig_bench.store.index import entries
from fsig_bench.store.records import read_record
from fsig_bench.store.store import Store

REFERENCE = ROOT / "results" / "reference" / "mini"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder with the records of two methods, which an index takes at once."""
    monkeypatch.setattr(index, "SETTLED_NS", 0)
    for method in ("copy", "source"):
        shutil.copytree(REFERENCE / method, tmp_path / "runs" / "mini" / method)
    time.sleep(0.02)
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """The paths of records that are read from their files."""
    found = []

    def read(path):
        found.append(path)
        return read_record(path)

    monkeypatch.setattr(index, "read_record", read)
    return found


def paths(root):
    return sorted((root / "runs").rglob("record.json"))


def distances(root):
    """What the index says of each run."""
    return {e.path: e.distance for e in entries(root / "runs", short=False)}


def true_distances(root):
    return {p: read_record(p)["metrics"]["fd"]["value"] for p in paths(root)}


def forged(path, value):
    record = read_record(path)
    record.pop("seal", None)
    record["metrics"]["fd"]["value"] = value
    return sealed(record | {"record_version": 2})


def test_the_second_time_no_file_is_read(results, reads):
    first = load([results / "runs"], short=True)
    assert len(reads) == len(paths(results)) == len(first)
    reads.clear()
    assert load([results / "runs"], short=True) == first and reads == []
    assert distances(results) == true_distances(results) and reads == []


def test_a_short_record_is_the_record_without_details(results):
    load([results / "runs"], short=True)
    whole, short = load([results / "runs"]), load([results / "runs"], short=True)
    assert report(short) == report(whole)
    for a, b in zip(short, whole, strict=True):
        kept = {k: v for k, v in a.items() if k != "metrics"}
        assert kept.items() <= b.items() and list(a["config"]) == list(b["config"])
        for name, metric in a["metrics"].items():
            assert metric.items() <= b["metrics"][name].items()
    same = [r for r in short if (r["method"], r["dataset"], r["k"]) == ("copy", "babies", 10)]
    assert len({id(r["config"]["protocol"]) for r in same}) < len(same)


def test_a_changed_a_new_and_a_lost_file_count_at_once(results, reads):
    distances(results)
    changed, lost, *_ = paths(results)
    changed.write_bytes(forged(changed, 1234.5))
    lost.unlink()
    new = results / "runs" / "mini" / "copy" / "babies" / "k10-seed77-00000000aa"
    new.mkdir()
    record = read_record(paths(results)[1]) | {"seed": 77, "run_id": "00000000aa", "k": 10}
    record |= {"method": "copy", "dataset": "babies"}
    record.pop("seal", None)
    (new / "record.json").write_bytes(sealed(record | {"record_version": 2}))
    reads.clear()
    found = distances(results)
    assert found[changed] == 1234.5 and lost not in found and new / "record.json" in found
    assert found == true_distances(results) and set(reads) == {changed, new / "record.json"}


@pytest.mark.parametrize("times", ["same", "other"])
def test_a_file_of_the_same_size_is_read_again(results, times):
    """Even where its time is set back: the time of the last change of its inode cannot be."""
    distances(results)
    path = paths(results)[0]
    before = path.stat()
    data = bytearray(path.read_bytes())
    at = data.index(b'"value": ') + 10
    data[at] = ord("7") if data[at] != ord("7") else ord("8")
    path.write_bytes(bytes(data))
    if times == "same":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert distances(results)[path] == read_distance(path)


def read_distance(path):
    """None where the file is refused, as sealed ones are."""
    try:
        return read_record(path)["metrics"]["fd"]["value"]
    except ValueError:
        return None


def test_a_damaged_record_is_named_every_time(results):
    path = paths(results)[0]
    path.write_bytes(path.read_bytes()[:300])
    for _ in range(2):
        (found,) = [e for e in entries(results / "runs", short=True) if e.problem]
        assert found.path == path and "is damaged" in found.problem and found.record is None
    (run,) = [r for r in found_runs(Store(results)) if r.status == "damaged"]
    assert run.folder == path.parent and any("1 damaged" in line for line in listing([run]))


def test_a_hundred_flipped_bits_of_the_index_change_no_number(results):
    true = true_distances(results)
    distances(results)
    file = results / "store" / "index.sqlite"
    whole = file.read_bytes()
    expected = report(load([results / "runs"]))
    for n in range(100):
        data = bytearray(whole)
        at = (n * 7919 + 13) % len(data)
        data[at] ^= 1 << (n % 8)
        file.write_bytes(bytes(data))
        assert distances(results) == true, f"bit {n % 8} of byte {at}"
        if n % 10 == 0:
            file.write_bytes(bytes(data))
            assert report(load([results / "runs"], short=True)) == expected
        file.write_bytes(whole)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_index_is_removed_and_made_anew(results, reads, content):
    file = results / "store" / "index.sqlite"
    file.parent.mkdir()
    file.write_bytes(content)
    assert distances(results) == true_distances(results)
    reads.clear()
    assert distances(results) and reads == []


def test_an_index_of_other_code_is_not_used(results, reads):
    distances(results)
    with sqlite3.connect(results / "store" / "index.sqlite") as connection:
        connection.execute("UPDATE code SET stamp = x'00'")
    reads.clear()
    assert distances(results) == true_distances(results)
    assert len(reads) >= len(paths(results))


def test_a_forged_row_is_not_believed(results):
    distances(results)
    with sqlite3.connect(results / "store" / "index.sqlite") as connection:
        connection.execute("UPDATE rows SET shown = x'31'")
    assert distances(results) == true_distances(results)


def test_where_nothing_can_be_written_records_are_read_each_time(results, monkeypatch):
    monkeypatch.setattr(index.IndexFile, "write", lambda *a: None)
    assert distances(results) == true_distances(results)
    (results / "store").write_text("a file where the folder should be")
    monkeypatch.undo()
    assert distances(results) == true_distances(results)


def test_a_folder_outside_results_gets_no_index(results, tmp_path_factory):
    own = tmp_path_factory.mktemp("collected")
    shutil.copytree(results / "runs" / "mini", own / "mini")
    before = sorted(own.rglob("*"))
    assert load([own], short=True) and sorted(own.rglob("*")) == before


def test_a_locked_index_is_passed_over(results, monkeypatch):
    distances(results)
    connect = sqlite3.connect
    monkeypatch.setattr(index.sqlite3, "connect", lambda p, timeout: connect(p, timeout=0.01))
    other = connect(results / "store" / "index.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert distances(results) == true_distances(results)
    finally:
        other.close()
    assert (results / "store" / "index.sqlite").exists()


def test_eight_processes_at_once_agree(results):
    code = (
        "import sys, json; from pathlib import Path; from fsig_bench.store import index; "
        "index.SETTLED_NS = 0; "
        "print(json.dumps(sorted((str(e.path), e.distance) for e in "
        "index.entries(Path(sys.argv[1]), short=False))))"
    )

    def read(_):
        words = [sys.executable, "-c", code, str(results / "runs")]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(8)))
    expected = sorted([str(p), v] for p, v in true_distances(results).items())
    assert all(answer == expected for answer in found)
