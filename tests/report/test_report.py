"""Tables from records: what shares a table, what a cell says."""

import json

import pytest
from report_records import record

from fsig_bench.report.markdown import report, table
from fsig_bench.report.records import load
from fsig_bench.report.samples import chosen


def test_rows_are_methods_then_controls_and_gaps_are_dashes():
    rows = table(
        [
            record("copy", fd=1.0, kind="control"),
            record("rs_imle", fd=5.0),
            record("rs_imle", fd=7.0, seed=1),
            record("crdi", dataset="obama", fd=9.0),
            record("crdi", fd=None),
        ],
        "fd",
    ).splitlines()
    assert rows[0] == "| Frechet distance ↓ | babies | obama |"
    assert rows[2:] == [
        "| CRDI | - | 9.00 |",
        "| RS_IMLE | 6.00 ± 1.41 | - |",
        "| COPY | 1.00 | - |",
    ]


def test_unlike_settings_never_share_a_table():
    text = report([record(fd=1.0), record(fd=2.0, k=5), record(fd=3.0, protocol="other")])
    assert text.count("## Suite") == 3
    assert all(f"| CRDI | {v}.00 |" in text for v in (1, 2, 3))


def test_order_of_files_changes_nothing(tmp_path):
    a, b = record(fd=1.0), record(seed=1, fd=2.0)
    for name, pair in (("x", (a, b)), ("y", (b, a))):
        for n, r in enumerate(pair):
            (tmp_path / name / str(n)).mkdir(parents=True)
            (tmp_path / name / str(n) / "record.json").write_text(json.dumps(r))
    one, two = (report(load([tmp_path / n])) for n in "xy")
    assert one == two and report(load([tmp_path])) == one  # a run counts once


def test_what_is_no_record_is_named(tmp_path, capsys):
    with pytest.raises(ValueError, match="no record below"):
        load([tmp_path])
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(ValueError, match="1 files are named above"):
        load([tmp_path])
    assert "bad.json is damaged (it holds no object but list)" in capsys.readouterr().err
    (tmp_path / "good.json").write_text(json.dumps(record()))
    assert len(load([tmp_path])) == len(load([tmp_path], short=True)) == 1
    assert capsys.readouterr().err.count("bad.json") == 2


def test_of_two_records_of_one_run_with_other_numbers_the_second_is_named(tmp_path, capsys):
    for name, fd in (("a", 1.0), ("b", 2.0), ("c", 1.0)):
        (tmp_path / f"{name}.json").write_text(json.dumps(record() | {"metrics": fd_of(fd)}))
    for short in (False, True):
        (found,) = load([tmp_path], short=short)
        assert found["metrics"]["fd"]["value"] == 1.0
        error = capsys.readouterr().err
        assert "b.json has other numbers" in error and "c.json" not in error


def fd_of(value):
    return {"fd": {"value": value, "extractor": "toy"}}


def test_the_gallery_takes_one_run_a_method_and_names_what_is_there():
    rows = [record("source", kind="control"), record("rs_imle", seed=1), record("rs_imle", seed=0)]
    found = chosen([*rows, record("crdi"), record("d2c", dataset="obama")], "babies")
    assert [(r["method"], r["seed"]) for r in found] == [("crdi", 0), ("rs_imle", 0), ("source", 0)]
    with pytest.raises(ValueError, match=r"cats.*babies, obama"):
        chosen([record(), record(dataset="obama")], "cats")


def test_other_settings_of_a_method_are_rows_of_their_own():
    def tuned(lr, **more):
        node = {"card": {"label": "CRDI", "kind": "method"}, "lr": lr}
        return {"method": node | more}

    same = [
        record(fd=1.0, config=tuned(1.0)),
        record(fd=3.0, seed=1, config=tuned(1.0, groups_at_once=1)),
    ]
    other = record(fd=50.0, seed=0, config=tuned(2.0))
    rows = table([*same, other], "fd").splitlines()[2:]
    # What only saves memory is no other setting.
    assert rows == ["| CRDI | 2.00 ± 1.41 |", "| CRDI [lr=2.0] | 50.00 |"]
    half = {**same[0], "config": tuned(1.0) | {"precision": {"adapt": "fp32", "sample": "bf16"}}}
    assert "CRDI [precision.sample=bf16]" in table([*same, half], "fd")
