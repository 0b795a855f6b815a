"""Paired differences and ranks, by hand and against known tables."""

import json

import pytest
from report_records import record
from scipy import stats

from fsig_bench.report.compare import comparison, difference, paired
from fsig_bench.report.markdown import report
from fsig_bench.report.ranks import rank_line, ranks


def test_the_interval_is_students():
    d = difference([1.0, 2.0, 3.0])
    half = 4.302652729911275 / 3**0.5  # t of 97.5 % at 2 degrees of freedom, deviation 1
    assert (d.pairs, d.mean) == (3, 2.0)
    assert (d.low, d.high) == pytest.approx((2 - half, 2 + half))
    assert not d.decided and difference([5.0, 5.1, 4.9]).decided
    one = difference([4.0])
    assert one.low is None and not one.decided
    with pytest.raises(ValueError, match="no pairs"):
        difference([])


def test_only_like_is_paired_with_like():
    found = paired(
        [
            record("a", fd=10.0),
            record("b", fd=7.0),
            record("a", fd=11.0, seed=1),  # b has no seed 1
            record("b", fd=1.0, k=5),
            record("b", fd=1.0, seed=1, num_images=100),
            record("a", dataset="obama", fd=4.0),
            record("b", dataset="obama", fd=6.0),
            record("a", dataset="cats", fd=None),
            record("b", dataset="cats", fd=1.0),
        ],
        "a",
        "b",
        "fd",
    )
    assert found == {"babies": [3.0], "obama": [-2.0]}


def test_a_comparison_says_what_is_decided_and_what_is_missing():
    rows = [record("a", seed=s, fd=10.0 + 0.1 * s) for s in range(3)]
    rows += [record("b", seed=s, fd=7.0) for s in range(3)]
    text = comparison(rows, "a", "b")
    assert "babies       +3.10  (2.85 to 3.35; 3)  *" in text
    with pytest.raises(ValueError, match="no record of c; there are a, b"):
        comparison(rows, "a", "c")
    with pytest.raises(ValueError, match="share no target"):
        comparison([record("a"), record("b", seed=9)], "a", "b")


def test_p_values_are_not_subtracted():
    rows = [record(m, fd=1.0) for m in ("a", "b")]
    for row in rows:
        row["metrics"]["mmd_test"] = {"value": 0.5}
    assert "p of equality" not in comparison(rows, "a", "b")


def test_mean_ranks_with_ties_by_hand():
    scores = {
        "a": {"x": 1.0, "y": 2.0},
        "b": {"x": 2.0, "y": 2.0},
        "c": {"x": 3.0, "y": 9.0, "z": 0.0},  # z is not shared
    }
    low = ranks(scores, lower_is_better=True)
    assert low.targets == 2 and low.mean == {"a": 1.25, "b": 1.75, "c": 3.0}
    assert low.p_value is None and low.critical is None  # two targets decide nothing
    assert ranks(scores, lower_is_better=False).mean == {"a": 2.75, "b": 2.25, "c": 1.0}
    assert ranks({"a": {"x": 1.0}}, lower_is_better=True) is None
    assert ranks({"a": {"x": 1.0}, "b": {"y": 1.0}}, lower_is_better=True) is None


def test_the_critical_difference_is_nemenyis():
    """Demsar 2006, section 3.2.2: four classifiers, 14 data sets, q = 2.569: CD = 1.25."""
    scores = {m: {str(t): float(t * i) for t in range(1, 15)} for i, m in enumerate("abcd")}
    found = ranks(scores, lower_is_better=True)
    assert found.critical == pytest.approx(1.25, abs=0.005)
    assert found.mean == {"a": 1, "b": 2, "c": 3, "d": 4}
    expected = stats.friedmanchisquare(*[list(s.values()) for s in scores.values()]).pvalue
    assert found.p_value == pytest.approx(expected)


def test_the_report_ranks_methods_and_leaves_controls_out():
    rows = [
        record(m, dataset=f"d{t}", fd=float(i + t), kind=kind)
        for i, (m, kind) in enumerate([("a", "method"), ("b", "method"), ("copy", "control")])
        for t in range(6)
    ]
    line = rank_line(rows, "fd")
    assert line.startswith("Mean rank by Frechet distance over 6 targets: A 1.00, B 2.00 (too few")
    assert line in report(rows)
    rows += [record("c", dataset=f"d{t}", fd=9.0 + t) for t in range(6)]
    assert "Friedman p = 0.0025" in rank_line(rows, "fd")
    assert json.loads(json.dumps(rows)) == rows  # nothing was changed
    rows.append(record("short", fd=0.0))
    assert "; not ranked, having fewer targets: SHORT (Friedman" in rank_line(rows, "fd")
