"""What new shots do to a ranking: against closed forms, and against what new shots then do."""

from math import prod

import numpy as np
import pytest
from report_records import record

from fsig_bench.report.compare import comparison
from fsig_bench.report.html.rows import list_settings
from fsig_bench.report.inference.reranking import (
    Changes,
    order_changes,
    ordered,
    probability_text,
    rank_sums,
)
from fsig_bench.report.inference.resampling import flip_probability
from fsig_bench.report.inference.units import Chance
from fsig_bench.report.markdown import report

SETS = {  # differences of two methods, one for each set of shots
    "babies": [1.0, 2.0, 3.5],
    "cats": [2.0, 0.5, 0.8],
    "obama": [4.0, 1.0, 3.0],
}
SHOTS = np.array([40.0, -30.0, 5.0])  # what each set of shots does to all methods alike


def tied(values, start=0):
    return {Chance(i, i, i): float(v) for i, v in enumerate(values, start)}


def changes(runs, seed=0, **more):
    generator = np.random.default_rng(seed)
    return order_changes(runs, generator=generator, **({"lower_is_better": True} | more))


def two(targets):
    """Methods a and b, of which a is lower by the differences above."""
    return {
        "a": {t: tied(SHOTS) for t in targets},
        "b": {t: tied(SHOTS + SETS[t]) for t in targets},
    }


@pytest.mark.parametrize("values", [SETS["babies"], [1.0, 1.5], [0.5, 2.0, -0.4, 1.0, 0.9]])
def test_of_two_methods_on_one_target_it_is_the_probability_of_a_flip(values):
    shots = np.arange(len(values)) * 50.0
    runs = {"a": {"babies": tied(shots)}, "b": {"babies": tied(shots + values)}}
    expected = flip_probability(values)
    for lower in (True, False):
        found = changes(runs, lower_is_better=lower, draws=40_000)
        assert found.first == found.order == pytest.approx(expected, abs=0.01)


def test_of_two_methods_on_several_targets_flips_are_counted():
    p = {t: flip_probability(v) for t, v in SETS.items()}
    none = prod(1 - v for v in p.values())
    one = sum(none * v / (1 - v) for v in p.values())
    found = changes(two(SETS), draws=40_000)
    assert found.first == pytest.approx(1 - none - one, abs=0.01)  # two of three targets decide
    assert (found.methods, found.targets) == (2, 3)
    both = {t: p[t] for t in ("babies", "cats")}  # one flip of two shares the first place
    found = changes(two(both), draws=40_000)
    assert found.first == pytest.approx(1 - prod(1 - v for v in both.values()), abs=0.01)


def test_what_shots_do_to_all_methods_alike_changes_nothing():
    """The same numbers on sets of shots of their own say little of the order."""
    shots = 10 * SHOTS
    paired = {m: {"babies": tied(shots + v)} for m, v in (("a", 0), ("b", 5), ("c", 9))}
    assert changes(paired) == Changes(first=0.0, order=0.0, methods=3, targets=1)
    apart = {m: {"babies": tied(shots + v, 3 * v)} for m, v in (("a", 0), ("b", 5), ("c", 9))}
    found = changes(apart)
    # Three methods, as good as alike: one of three is first, one order of six is the seen one.
    assert found.first == pytest.approx(2 / 3, abs=0.05)
    assert found.order == pytest.approx(5 / 6, abs=0.05)


def test_equal_scores_stay_tied_and_a_single_set_of_shots_says_nothing():
    same = {m: {"babies": tied([0.1 + 0.2, 0.0, 0.0])} for m in ("a", "b")}
    same["b"]["babies"] = tied([0.3, 0.0, 0.0])
    assert changes(same).first == 0
    assert ordered(np.array([3.0, 1.0, 3.0 + 1e-12, -5.0])).tolist() == [3.5, 2.0, 3.5, 1.0]
    one = two(("babies", "cats"))
    one["b"]["cats"] = tied([1.0])
    assert changes(one) is None


def test_predicted_changes_come_true():
    """Four methods on five targets, whose true scores are far wider apart than chance is."""
    g = np.random.default_rng(4)
    known_sets, targets, methods, worlds = 4, 5, 4, 500
    predicted, real = [], []
    for _ in range(worlds):
        truth = g.uniform(-20, 20, (targets, 1, methods))
        shared = 9 * g.standard_normal((targets, known_sets + 1, 1))
        scores = truth + shared + 2 * g.standard_normal((targets, known_sets + 1, methods))
        known, new = scores[:, :-1], scores[:, -1]
        runs = {
            str(m): {str(t): tied(known[t, :, m]) for t in range(targets)} for m in range(methods)
        }
        found = order_changes(runs, lower_is_better=True, generator=g, draws=200)
        before, after = rank_sums(known.mean(1)), rank_sums(new)
        predicted.append((found.first, found.order))
        first = ((before == before.min()) != (after == after.min())).any()
        real.append((first, (ordered(before) != ordered(after)).any()))
    # The standard error of a share of 500 is about 0.02.
    assert np.mean(predicted, axis=0) == pytest.approx(np.mean(real, axis=0), abs=0.06)


def test_pages_say_how_sure_a_ranking_is():
    rows = [
        record(m, dataset=t, seed=s, subset=s, fd=100 + run + shift)
        for t in SETS
        for m, own in two(SETS).items()
        for shift in (0.0,)
        for s, run in enumerate(own[t].values())
    ]
    rows += [
        record("c", dataset=t, seed=s, subset=s, fd=150 + SHOTS[s]) for t in SETS for s in range(3)
    ]
    sentence = "On one new set of shots on each of 3 targets the first place by mean rank changes"
    assert f"{sentence} with probability 0.0" in report(rows)
    assert ", and the order of all 3 methods with 0.0" in report(rows)
    (setting,) = list_settings(rows, ["fd"])
    assert setting["ranks"]["fd"].startswith("Mean rank by") and sentence in setting["ranks"]["fd"]
    text = comparison(rows, "a", "b")
    assert sentence in text and "the order of all" not in text
    single = [
        row for row in rows if (row["method"], row["dataset"], row["subset"]) != ("c", "cats", 0)
    ]
    assert sentence in report(single)  # two sets of shots are left
    fewer = [
        row for row in single if (row["method"], row["dataset"], row["subset"]) != ("c", "cats", 1)
    ]
    assert "the first place by mean rank changes" not in report(fewer)
    assert "first place" not in comparison([r for r in rows if r["dataset"] == "cats"], "a", "b")


def test_a_simulation_is_not_certain():
    words = [probability_text(v) for v in (0.0, 0.004, 0.005, 0.5, 0.994, 0.996, 1.0)]
    assert words == ["less than 0.01"] * 2 + ["0.01", "0.50", "0.99"] + ["more than 0.99"] * 2
