"""Paired differences and ranks, by hand and against known tables."""

import json

import pytest
from report_records import record
from scipy import stats

from fsig_bench.report.compare import adjusted_p, compared, comparison
from fsig_bench.report.inference.ranks import rank_line, ranks
from fsig_bench.report.markdown import report


def test_only_like_is_paired_with_like():
    pages = compared(
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
    )
    (page,) = pages
    assert [(d.place, d.estimate.mean) for d in page.rows] == [
        ("babies", 3.0),
        ("obama", -2.0),
        ("all", 0.5),
    ]


def test_of_one_set_of_shots_the_page_says_what_the_interval_leaves_out():
    rows = [record("a", seed=s, fd=10.0 + 0.1 * s) for s in range(3)]
    rows += [record("b", seed=s, fd=7.0) for s in range(3)]
    text = comparison(rows, "a", "b")
    # Mean 3.1, deviation 0.1: half the interval is 4.3027 x 0.1 / sqrt(3).
    assert "babies       +3.10  (2.85 to 3.35; 3 seeds)  p 0.00035 †" in text
    assert "1 rows have one set of shots, so their intervals leave out the choice" in text
    assert "flips" not in text
    with pytest.raises(ValueError, match="no record of c; there are a, b"):
        comparison(rows, "a", "c")
    with pytest.raises(ValueError, match="share no target"):
        comparison([record("a"), record("b", seed=9)], "a", "b")


def test_over_targets_the_target_is_the_unit():
    """Three seeds by two targets are two independent differences and not six."""
    rows = [
        record(m, dataset=d, seed=s, fd=fd + 0.01 * s * (m == "a"))
        for d, pair in (("babies", (12.0, 10.0)), ("obama", (14.0, 10.0)))
        for m, fd in zip("ab", pair, strict=True)
        for s in range(3)
    ]
    found = compared(rows, "a", "b")[0].rows[-1]
    half = 12.706204736432095 * 1.0  # t at 1 degree of freedom; deviation sqrt(2) over sqrt(2)
    assert (found.place, found.unit, found.estimate.count) == ("all", "target", 2)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((3.01 - half, 3.01 + half))


def test_new_shots_are_the_unit_where_shots_vary():
    rows = [
        record(m, seed=s, subset=s, fd=fd[s])
        for m, fd in (("a", [10.0, 12.0, 14.0]), ("b", [9.0, 10.0, 9.0]))
        for s in range(3)
    ]
    text = comparison(rows, "a", "b")
    # Differences 1, 2, 5: mean 8/3, deviation sqrt(13/3).
    assert (
        "babies       +2.67  (-2.50 to 7.84; 3 sets of shots)  p 0.16  flips 19%, needs 7" in text
    )
    assert "one set of shots, so" not in text


def test_the_page_corrects_over_all_its_tests():
    rows = [
        record(m, seed=s, dataset=d, fd=fd + 0.1 * s * (m == "a"))
        for d in ("babies", "obama", "cats")  # the three targets' means are the same: no test
        for m, fd in (("a", 10.0), ("b", 7.0))
        for s in range(3)
    ]
    pages = compared(rows, "a", "b")
    raw = [row.estimate.p for row in pages[0].rows]
    assert len(raw) == 4 and raw[-1] is None
    assert adjusted_p(pages) == pytest.approx({(0, j): 3 * raw[0] for j in range(3)})
    text = comparison(rows, "a", "b")
    assert "correction over the 3 tests of this page" in text
    assert "all          +3.10  (the same in 3 targets, so there is no test)" in text


def test_equal_counts_on_a_few_sets_of_shots_decide_nothing():
    """A copy rate of 0 against one sample of 500, twice, is no certainty."""
    rows = [
        record(m, seed=s, subset=s, metrics={"copy_rate": {"value": value}})
        for m, value in (("a", 0.002), ("b", 0.0))
        for s in range(2)
    ]
    text = comparison(rows, "a", "b")
    assert "(the same in 2 sets of shots, so there is no test)" in text
    assert "  p " not in text and "flips" not in text


def test_controls_that_draw_the_same_on_every_target_have_no_row_over_targets():
    rows = [
        record(
            m,
            dataset=d,
            seed=s,
            fd=fd + s * (1.0 if d == "obama" else 1.5),
            pixels_sha256=f"{m}{s}",
        )
        for d in ("babies", "obama")
        for m, fd in (("a", 10.0), ("b", 7.0))
        for s in range(3)
    ]
    assert [row.place for row in compared(rows, "a", "b")[0].rows] == ["babies", "obama"]
    for row in rows:
        if row["method"] == "a":
            row["pixels_sha256"] += row["dataset"]
    assert compared(rows, "a", "b")[0].rows[-1].place == "all"


def test_what_is_best_like_real_is_compared_by_its_distance_to_real():
    def diversity(method, value, subset=0, **more):
        metrics = {"intra_lpips": {"value": value}}
        return record(method, subset=subset, seed=subset, metrics=metrics, **more)

    rows = [diversity("a", 0.9, s) for s in (0, 1)]
    rows += [diversity("b", 0.3, s) for s in (0, 1)]
    assert compared(rows, "a", "b") == []  # without real nothing says which is better
    rows += [diversity("real", v, s, kind="control") for s, v in ((0, 0.7), (1, 0.5))]
    scores = compared(rows, "a", "b")[0].scores
    assert scores.of("a")["babies"] == pytest.approx({(0, 0, 0): 0.2, (1, 1, 1): 0.4})
    assert scores.of("b")["babies"] == pytest.approx({(0, 0, 0): 0.4, (1, 1, 1): 0.2})
    assert scores.lower_is_better
    # `real` beside other shots says nothing of these.
    beside = [row for row in rows if (row["method"], row["subset"]) != ("real", 1)]
    assert compared(beside, "a", "b")[0].scores.of("a") == {
        "babies": {(0, 0, 0): pytest.approx(0.2)}
    }
    line = rank_line(rows, "intra_lpips")
    assert line.startswith(
        "Mean rank by Intra-LPIPS, distance to real over 1 targets: A 1.50, B 1.5"
    )
    # A record of the time when it was read as papers do.
    old = {"heading": "Intra-LPIPS", "better": "higher"}
    for row in rows:
        row["config"]["protocol"] = {"metrics": {"intra_lpips": {"card": old}}}
    assert rank_line(rows, "intra_lpips") == line


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
