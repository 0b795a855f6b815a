"""Damaged, forged and foreign records: each is named and left out, and stops no other's report."""

import importlib.util
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from helpers import ROOT
from hostile_cases import CASES, FOLDER, HTML, base, sealed

from fsig_bench.report.__main__ import main as report
from fsig_bench.report.html.build import write_report
from fsig_bench.report.html.pictures import Writer
from fsig_bench.report.local_targets import build_images, foreign_reason
from fsig_bench.report.records import load
from fsig_bench.report.verify import replay
from fsig_bench.store.records import read_record
from fsig_bench.store.store import Store

FORK = multiprocessing.get_context("fork")
spec = importlib.util.spec_from_file_location(
    "hostile_records", ROOT / "tests" / "bench" / "hostile_records.py"
)
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


def test_there_are_many_cases_of_many_kinds():
    assert len(CASES) >= 60 and len({case.name for case in CASES}) == len(CASES)
    assert sum(not case.skipped for case in CASES) >= 8


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_record_is_named_and_stops_nothing(case, tmp_path):
    found, why = bench.outcome(case, tmp_path, quick=True)
    assert (found, why) == ("skipped" if case.skipped else "shown", "")


def test_the_whole_record_that_the_cases_start_from_is_read(tmp_path):
    path = tmp_path / FOLDER / "record.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(sealed(base()))
    assert read_record(path)["seed"] == 9
    moved = path.parent.with_name("k10-seed8-00ff00ff00")
    path.parent.rename(moved)
    with pytest.raises(ValueError, match="the folder of another run: the record has seed 9"):
        read_record(moved / "record.json")


def test_a_damaged_record_counts_as_unfinished_and_is_named_once(tmp_path, capsys):
    path = tmp_path / FOLDER / "record.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(sealed(base())[:500])
    store = Store(tmp_path)
    assert store.record(FOLDER) is None and store.record(FOLDER) is None
    assert capsys.readouterr().out.count("the run counts as unfinished") == 1


def planted(tmp_path: Path, made: Path) -> dict:
    """A record whose dataset makes a file when it is built."""
    record = base()
    record["config"]["dataset"] |= {"_target_": "pathlib.Path.touch", "_args_": [str(made)]}
    path = tmp_path / FOLDER / "record.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(sealed(record))
    return read_record(path)


def test_verify_builds_nothing_that_only_a_record_names(tmp_path, capsys):
    made = tmp_path / "made"
    record = planted(tmp_path, made)
    (verdict,) = replay([record], tmp_path)
    assert "pathlib.Path.touch" in verdict.foreign and not made.exists()
    assert report(["verify", f"results_dir={tmp_path}"]) == 1
    out = capsys.readouterr().out
    assert "FOREIGN" in out and "pathlib.Path.touch" in out and "1 foreign" in out
    with pytest.raises(ValueError, match="pathlib.Path.touch"):
        build_images(record["config"]["dataset"])
    assert not made.exists()


@pytest.mark.parametrize(
    "node, reason",
    [
        ({"a": [{"_target_": "os.system"}]}, "os.system"),
        ({"x": "${oc.env:HOME}"}, "would be computed"),
        ({"x=1 y": 2}, "no name"),
        ({"_target_": "baselines.copy.Copy", "x": {"weights": "a"}}, None),
    ],
)
def test_what_is_foreign(node, reason):
    found = foreign_reason(node)
    assert found is None if reason is None else reason in found


def test_images_are_built_of_classes_that_hold_images_alone():
    with pytest.raises(ValueError, match="WandbTracker"):
        build_images({"_target_": "fsig_bench.trackers.wandb.WandbTracker"})


def write_until(folder, count):
    """Writes a report, and dies once it has written `count` pictures or pages."""
    put = Writer.__call__

    def write(self, name, data):
        put(self, name, data)
        if len(self.written) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    Writer.__call__ = write
    records = load([ROOT / "results" / "reference" / "mini" / "copy" / "babies"])
    write_report(records, results=folder, out=folder / "report")


def test_a_killed_report_can_be_written_again(tmp_path):
    """Killed at its first picture or page, whatever has been written by then."""
    for count in (1, 4, 0):
        process = FORK.Process(target=write_until, args=(tmp_path, count))
        process.start()
        process.join()
        assert process.exitcode == (-signal.SIGKILL if count else 0)
    assert "not finished" not in (tmp_path / "report" / "index.html").read_text()


def test_names_of_html_do_not_reach_a_page(tmp_path):
    record = base()
    record["config"]["method"]["card"]["label"] = HTML
    write_report([record], results=tmp_path, out=tmp_path / "report")
    for page in (tmp_path / "report").rglob("*.html"):
        assert HTML not in page.read_text(), page
