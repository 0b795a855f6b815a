"""Metrics beside what is known of the images: the statistics by hand, and what is said of them."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from findings_helpers import PARTED, analysed, made_grid, parted
from helpers import ROOT
from scipy.stats import kendalltau

from fsig_bench.report.findings import agreement, text_agreement, text_parts
from fsig_bench.report.findings import grid as grids
from fsig_bench.report.findings.agreement_csv import COLUMNS, to_csv
from fsig_bench.report.findings.kendall import PERMUTATIONS, permutations
from fsig_bench.report.findings.kendall import agreement as agreement_of
from fsig_bench.report.records import load

COMMITTED = ROOT / "results" / "reference"


def agree(one, other):
    return agreement_of(one, other, permutations(len(other[0]), np.random.default_rng(0)))


def test_tau_is_scipys_with_ties_and_without():
    a = [[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 1.0, 2.0, 3.0, 3.0]]
    b = [[2.0, 1.0, 3.0, 5.0, 4.0], [4.0, 1.0, 2.0, 2.0, 9.0]]
    found = agree(a, b)
    expected = [kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert found.taus == pytest.approx(expected)
    assert found.mean == pytest.approx(sum(expected) / 2)


def test_the_p_value_is_the_share_of_permutations():
    ordered = [float(n) for n in range(7)]
    assert agree([ordered], [ordered]).p == pytest.approx(2 / math.factorial(7), rel=1e-9)
    some = [3.0, 0.0, 1.0, 2.0, 6.0, 5.0, 4.0]
    exact = kendalltau(ordered, some, method="exact").pvalue
    assert agree([ordered], [some]).p == pytest.approx(exact, rel=1e-9)
    ordered, some = [*ordered, 7.0, 8.0], [*some, 8.0, 7.0]  # too many orders to try them all
    exact = kendalltau(ordered, some, method="exact").pvalue
    assert agree([ordered], [some]).p == pytest.approx(exact, abs=4 * (exact / PERMUTATIONS) ** 0.5)


def test_targets_that_repeat_each_other_are_no_further_evidence():
    ordered, some = [float(n) for n in range(6)], [0.0, 2.0, 1.0, 3.0, 5.0, 4.0]
    once, often = agree([ordered], [some]), agree([ordered] * 5, [some] * 5)
    assert often.p == once.p and often.mean == pytest.approx(once.mean)


def test_targets_with_ties_alone_are_left_out():
    assert agree([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], [[0.0] * 3, [1.0, 2.0, 3.0]]).taus == (1.0,)
    assert agree([[0.0] * 3, [1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]] * 2).by_target == (None, 1.0)
    assert agree([[1.0, 2.0]], [[0.0, 0.0]]) is None


def test_the_smallest_p_is_that_of_the_most_extreme_order():
    ordered = [float(n) for n in range(5)]
    some, others = [1.0, 0.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 4.0, 3.0]
    # One target: the order and its reverse. Two that differ have one order of the greatest mean.
    assert agree([some], [ordered]).least_p == agree([ordered], [ordered]).p == 2 / 120
    assert agree([some] * 2, [ordered] * 2).least_p == 2 / 120
    assert agree([others, some], [ordered, others]).least_p <= agree([some], [ordered]).p
    # Of three methods, two with one score: six orders, of which four are most extreme.
    assert agree([[0.0, 1.0, 1.0]], [[0.0, 1.0, 2.0]]).least_p == pytest.approx(4 / 6)
    many = [float(n) for n in range(9)]
    assert agree([many], [many]).least_p == 1 / (PERMUTATIONS + 1)


def test_without_controls_only_the_methods_are_ordered():
    # fd has the truth's order of a to d; the controls x and y stand at the wrong ends.
    grid = made_grid("abcd", "xy", fd=[1.0, 2.0, 3.0, 4.0, 0.0, -1.0])
    found = analysed(grid)
    assert found.methods.grid.methods == ("a", "b", "c", "d")
    taus = {
        (line.reading.metric, line.truth): (line.found.mean, other.found.mean)
        for line, other in zip(found.methods.lines, found.with_controls.lines, strict=True)
    }
    # With x and y below, 9 of 15 pairs are turned round.
    assert taus["fd", "factor distance"] == pytest.approx((1.0, -3 / 15))
    assert "1.00 / -0.20 |" in text_agreement.tau_table(found)[-1]


def test_a_family_that_cannot_succeed_says_so():
    found = analysed(made_grid("abcd", "uvwxyz"))
    # 2 of 24 orders agree fully: no test of four methods can be significant; ten methods are many.
    assert found.methods.least_p == 2 / 24
    assert not found.methods.can_succeed() and found.with_controls.can_succeed()
    assert all(line.p_holm > 0.05 for line in found.methods.lines)
    text = " ".join(text_agreement.claims(found))
    assert "1 in 12, times 5 tests 0.42: more than 0.05. No test of this family" in text
    assert "So every star depends on controls" in text and "told from chance." in text
    assert "- **factor coverage**: the same order is given by fd" not in text
    assert (
        "- **factor coverage**: the same order is given by Frechet distance (1.00 / 1.00)" in text
    )


def test_a_family_that_can_succeed_and_does_not_is_told_from_one_that_cannot():
    mixed = [3.0, 0.0, 5.0, 1.0, 7.0, 2.0, 6.0, 4.0]
    found = analysed(made_grid("abcdefgh", fd=mixed, kid=mixed, factor_coverage=mixed))
    # All but one test are of `mixed` beside the listed order; that one is of `mixed` beside itself.
    text = " ".join(text_agreement.claims(found))
    assert "- **factor distance**: none of 3 orders can be told from chance." not in text
    assert "- **factor distance**: none of 2 orders can be told from chance." in text
    assert "No test of this family" not in text and "So every star" not in text


def test_a_truth_with_ties_can_be_the_one_whose_tests_cannot_succeed():
    tied = [0.0] * 7 + [1.0]
    found = analysed(made_grid("abcdefgh", factor_coverage=tied))
    assert found.methods.can_succeed() and found.methods.can_succeed("factor distance")
    assert not found.methods.can_succeed("factor coverage")
    text = " ".join(text_agreement.claims(found))
    assert "- **factor coverage**: none of its 3 tests can succeed." in text


def test_the_grid_has_the_methods_that_have_everything():
    records = load([COMMITTED])
    grid = grids.grid_of(records)
    assert "real" not in grid.methods and {"source", "copy"} <= set(grid.methods)
    fd = grid.scores[grids.Reading(metric="fd", how="")]
    t, m = grid.targets.index("babies"), grid.methods.index("copy")
    own = [
        r["metrics"]["fd"]["value"]
        for r in grid.records
        if (r["method"], r["dataset"]) == ("copy", "babies")
    ]
    assert fd[t][m] == pytest.approx(-sum(own) / len(own))
    readings = {(r.metric, r.how) for r in grid.scores}
    assert {("intra_lpips", grids.AS_PRINTED), ("intra_lpips", grids.TO_REAL)} <= readings
    with pytest.raises(ValueError, match="methods have all metrics"):
        grids.grid_of([r for r in records if r["method"] in ("crdi", "copy")])


def test_the_parts_of_the_factor_distance_by_hand():
    grid = grids.grid_of(PARTED)
    text = "\n".join(text_parts.section(grid))
    assert "| ada | 1.00 | 10.00 | 2.00 |" in text and "| real | 0.00 | 0.00 | 0.00 |" in text
    # Values 2, 2.75 and 3.5 rise as the domain's parts do, and the factors' sums 10, 7, 5 fall.
    assert "a tau of 1.00 with its domain part and of -1.00 with the factors' parts" in text
    assert "come from `baby` and `smile` on babies; `baby` and `smile` on cats." in text
    assert "is 1.00 for `copy` and 5.00 to 10.00 for the methods" in text
    assert "Repeating the 10 shots costs this distance only little" in text
    # Nothing of the kind is said where copies cost much, or where records lack the parts.
    dear = [
        parted(r["method"], r["dataset"], 9.0, 9.0, 9.0, kind="control")
        if r["method"] == "copy"
        else r
        for r in PARTED
    ]
    assert "copies" not in "\n".join(text_parts.section(grids.grid_of(dear)))
    bare = [r | {"metrics": {"fd": r["metrics"]["fd"]}} for r in PARTED]
    assert text_parts.section(grids.grid_of(bare)) == []


def test_the_factors_alone_are_a_truth_of_their_own():
    found = analysed(grids.grid_of(PARTED))
    taus = {(x.reading.heading, x.truth): x.found.mean for x in found.methods.lines}
    assert taus["factor distance", "factors alone"] == -1.0
    assert taus["Frechet distance", "factor distance"] == 1.0
    assert list(agreement.truths_of(found.methods.grid)) == ["factor distance", "factors alone"]


def test_the_page_says_that_one_network_measures_metrics_and_truths():
    def by(**extractors):
        metrics = {m: {"value": 1.0, "extractor": e} for m, e in extractors.items()}
        grid = made_grid("abcd")
        records = tuple(r | {"metrics": metrics} for r in grid.records)
        text = text_agreement.section(
            analysed(replace(grid, records=records)), figure="a.svg", table="a.csv"
        )
        return next(part for part in text if "same network" in part)

    assert "enters both sides and can raise tau" in by(fd="reader", spectrum="pixels")
    assert by(fd="reader", spectrum="pixels").endswith(
        "Only spectrum, dB is measured without it, on pixels."
    )
    assert by(fd="reader").endswith("No metric is measured without it, on pixels.")


def test_the_table_of_taus_by_target():
    fd = grids.Reading(metric="fd")
    grid = made_grid("abcd", "x", targets=("cats", "babies", "obama"))
    grid.scores[fd][:] = [[1.0, 2.0, 3.0, 4.0, 0.0], [4.0, 3.0, 2.0, 1.0, 5.0], [7.0] * 5]
    rows = list(csv.DictReader(to_csv([analysed(grid)]).splitlines()))
    own = [r for r in rows if (r["metric"], r["truth"]) == ("fd", "factor distance")]
    alone, both = own
    assert (alone["methods"], alone["controls"], both["controls"]) == ("4", "0", "1")
    # In the order of their names; on obama fd tells no methods apart.
    assert [alone[f"tau {t}"] for t in ("babies", "cats", "obama")] == ["-1", "1", ""]
    assert [both[f"tau {t}"] for t in ("babies", "cats", "obama")] == ["-0.2", "0.2", ""]
    assert float(alone["mean"]) == 0 and float(alone["p"]) == 1.0
    assert len(rows) == 2 * 5 and list(rows[0])[:6] == list(COLUMNS)
