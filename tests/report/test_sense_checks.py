"""The committed records relate as they should: the checks of tests/bench/sense_checks.py."""

import pytest
from bench.sense_checks import CHECKS, DOMAINS, REFERENCE, main, verdict_of
from report_records import record

from fsig_bench.report.records import load

WORDS = {"yes": "holds", "no": "FAILS"}


@pytest.fixture(scope="module")
def records():
    return [r for r in load([REFERENCE]) if r["suite"] == "mini"]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("relation", CHECKS, ids=lambda r: f"{r[2]} {r[3]} {r[4]} by {r[1]}")
def test_a_relation_holds_in_the_committed_records(records, relation, domain):
    verdict, sides = verdict_of(records, relation, domain, WORDS)
    assert verdict.startswith("holds"), (verdict, sides)


def made(method, values):
    return [record(method, seed=s, subset=s, fd=v) for s, v in enumerate(values)]


def test_a_verdict_says_of_how_many_runs_the_mean_is():
    rows = [*made("a", [1.0, 5.0]), *made("b", [4.0, 3.0, 9.0])]
    below, above = (("what", "fd", "a", sign, "b", 1) for sign in "<>")
    assert verdict_of(rows, below, "babies", WORDS) == (
        "holds, mean of 2 runs",
        "fd: a 3.000 ± 2.828 < b 3.500 ± 0.707",
    )
    assert verdict_of(rows, above, "babies", WORDS)[0] == "FAILS, mean of 2 runs"
    assert verdict_of(rows[1:], below, "babies", WORDS)[0] == "FAILS, one run"
    assert verdict_of(rows, below, "sunglasses", WORDS)[0] == "no records"


def test_checks_that_fail_or_lack_records_are_counted(tmp_path, capsys):
    folders = (REFERENCE / "mini" / name for name in ("crdi", "source"))
    paths = (path for folder in folders for path in folder.rglob("record.json"))
    for number, path in enumerate(paths):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "record.json").write_bytes(path.read_bytes())
    assert main([str(tmp_path)]) == len(DOMAINS) * (len(CHECKS) - 1)
    said = capsys.readouterr().out
    assert said.count("holds, mean of") == len(DOMAINS)
