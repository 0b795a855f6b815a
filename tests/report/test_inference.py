"""Units, intervals, corrections and predictions, by hand and against simulation."""

import math

import numpy as np
import pytest
from report_records import record
from scipy import stats

from fsig_bench.report.inference.intervals import estimate, holm
from fsig_bench.report.inference.paired import difference_on, paired_units
from fsig_bench.report.inference.resampling import flip_probability, power_of, subsets_needed
from fsig_bench.report.inference.sentences import spread_sentences
from fsig_bench.report.inference.units import Chance, chance_of, units_of


def test_the_interval_is_students():
    e = estimate([1.0, 2.0, 3.0])
    half = 4.302652729911275 / 3**0.5  # t of 97.5 % at 2 degrees of freedom, deviation 1
    assert (e.count, e.mean, e.std) == (3, 2.0, 1.0)
    assert (e.low, e.high) == pytest.approx((2 - half, 2 + half))
    t = 2 * 3**0.5
    assert e.p == pytest.approx(1 - t / math.sqrt(t**2 + 2))  # Student's tail at 2 degrees
    assert estimate([5.0, 5.1, 4.9]).p < 0.05
    one = estimate([4.0])
    assert (one.low, one.high, one.p, one.std) == (None, None, None, None)
    assert estimate([0.0, 0.0]).p == 1.0
    for same in ([2.0, 2.0], [0.3 - 0.1, 0.2]):  # equal but for rounding
        e = estimate(same)
        assert e.p is None and not e.has_spread and e.low == pytest.approx(e.high)
    with pytest.raises(ValueError, match="at least one value"):
        estimate([])


def test_the_p_value_and_the_interval_agree():
    values = np.random.default_rng(0).normal(0.6, 1, (200, 5)).tolist()
    for e in map(estimate, values):
        assert (e.p <= 0.05) == (e.low > 0 or e.high < 0)


def test_holm_by_hand():
    """Holm's procedure on four tests: 4 x .01, 3 x .02, then no smaller than before, at most 1."""
    found = holm({"a": 0.02, "b": 0.01, "c": 0.9, "d": 0.025})
    assert found == pytest.approx({"a": 0.06, "b": 0.04, "c": 0.9, "d": 0.06})
    assert list(found) == ["a", "b", "c", "d"] and holm({}) == {}
    assert holm({1: 0.6, 2: 0.7}) == {1: 1.0, 2: 1.0}
    with pytest.raises(ValueError, match="the test of b has no p-value"):
        holm({"a": 0.0001, "b": math.nan, "c": 0.001})


def tied(values):
    return {Chance(i, i, i): v for i, v in enumerate(values)}


def test_sets_of_shots_are_units_where_the_grid_ties_its_axes():
    units = units_of(tied([1.0, 2.0, 6.0]))
    assert (units.mean, units.values, units.runs) == (3.0, (1.0, 2.0, 6.0), 3)
    assert (units.axis, units.holds) == ("subset", ("subset", "seed", "draw"))


def test_runs_of_one_set_of_shots_leave_its_choice_out():
    units = units_of({Chance(0, s, s): float(s) for s in range(3)})
    assert (units.axis, units.holds, units.count) == ("seed", ("seed", "draw"), 3)
    single = units_of({Chance(0, 0, 0): 4.0})
    assert (single.mean, single.axis, single.holds, single.std) == (4.0, "", (), None)
    assert (single.text(2), units.text(1)) == ("4.00", "1.0 ± 1.0")


def test_seeds_of_their_own_are_averaged_within_a_set_of_shots():
    units = units_of(
        {Chance(0, 0, 0): 1.0, Chance(0, 1, 0): 3.0, Chance(1, 2, 0): 6.0, Chance(1, 3, 0): 8.0}
    )
    assert units.values == (2.0, 7.0) and units.mean == 4.5
    assert units.holds == ("subset", "seed")


def test_of_crossed_runs_those_that_share_nothing_give_the_spread():
    runs = {Chance(s, a, a): 10.0 * s + a for s in range(3) for a in range(3)}
    units = units_of(runs)
    assert units.mean == 11.0 and units.runs == 9  # every run counts in the mean
    assert units.values == (0.0, 11.0, 22.0)  # and three in the spread
    assert units.holds == ("subset", "seed", "draw")
    more = units_of(runs | {Chance(0, 0, 1): 3.0})
    assert more.values == units.values  # a fourth run of a known set is no further unit


def test_runs_that_share_nothing_are_found_where_the_first_ones_block_them():
    """(0, 0) shares its seed with the only run of the other set of shots; (0, 1) does not."""
    units = units_of({Chance(0, 0, 0): 1.0, Chance(0, 1, 0): 3.0, Chance(1, 0, 0): 6.0})
    assert units.values == (3.0, 6.0) and units.holds == ("subset", "seed")


def test_a_large_crossed_grid_without_such_runs_is_given_up_at_once():
    runs = {Chance(s, a, d): float(s) for s in range(12) for a in range(12) for d in range(11)}
    assert units_of(runs).holds == ("subset",)


def test_what_a_claim_needs_follows_from_the_mean_that_is_printed():
    """On the diagonal, whose runs share nothing, the order is the other one."""
    first = {Chance(s, a, a): -1.0 - 0.1 * s if s == a else 1.0 for s in range(3) for a in range(3)}
    units = paired_units(first, dict.fromkeys(first, 0.0))
    assert units.mean > 0 > max(units.values)
    found = difference_on("babies", units)
    assert found.estimate.mean == units.mean
    scale = found.estimate.std * (1 + 1 / 3) ** 0.5
    assert found.flips == pytest.approx(stats.t.sf(units.mean / scale, 2))
    assert found.sets_needed(1) == subsets_needed(units.values, mean=units.mean)
    assert found.sets_needed(1) > subsets_needed(units.values)


def test_a_page_of_many_tests_needs_more_sets_of_shots():
    """With the number that a page of forty tests names, Holm's first step passes as promised."""
    units = paired_units(tied([1.0, 2.0, 0.5, 1.5]), tied([0.0] * 4))
    found = difference_on("babies", units)
    effect = units.mean / units.std
    count = found.sets_needed(40)
    assert count > found.sets_needed(1)
    values = np.random.default_rng(3).standard_normal((20_000, count)) + effect
    p = stats.ttest_1samp(values, 0, axis=1).pvalue
    assert float(np.mean(p <= 0.05 / 40)) == pytest.approx(
        power_of(effect, count, 0.05 / 40), abs=0.01
    )
    assert power_of(effect, count, 0.05 / 40) >= 0.8 > power_of(effect, count - 1, 0.05 / 40)


def test_shots_that_share_all_seeds_say_that_seeds_are_left_out():
    """Two seeds cannot give three sets of shots a seed each."""
    runs = {Chance(s, a, 0): 10.0 * s + a for s in range(3) for a in range(2)}
    units = units_of(runs)
    assert units.values == (0.5, 10.5, 20.5) and units.holds == ("subset",)
    (sentence,) = spread_sentences([units])
    assert sentence == (
        "± is the standard deviation over 3 sets of shots; it holds the chance of the choice of "
        "the shots, and the part of the effect of adapting and drawing that differs between sets "
        "of shots; the part that is the same for all sets is not in it."
    )


def test_captions_count_what_they_average():
    one_set = units_of({Chance(0, s, s): float(s) for s in range(3)})
    several = units_of(tied([1.0, 2.0, 6.0, 7.0, 9.0]))
    assert spread_sentences([units_of({Chance(0, 0, 0): 1.0})]) == []
    first, second = spread_sentences([several, several, one_set])
    assert "over 3 to 5 runs or sets of shots; it holds the chance of the choice" in first
    assert second == (
        "In 1 of 3 cells it holds the chance of adapting and drawing and leaves out the choice of "
        "the shots."
    )
    assert "no number here says how a method does on other shots" in spread_sentences([one_set])[1]


def test_old_records_drew_with_their_seed():
    assert chance_of(record(seed=3) | {"draw": 7}) == (0, 3, 7)
    old = record(seed=3, subset=2)
    del old["draw"]
    assert chance_of(old) == (2, 3, 3)


def test_pairs_share_shots_seed_and_draw():
    units = paired_units(tied([3.0, 5.0, 9.0]), {**tied([1.0, 1.0]), Chance(2, 0, 0): 4.0})
    assert units.values == (2.0, 4.0)
    assert paired_units(tied([1.0]), {Chance(1, 0, 0): 1.0}) is None


def test_a_flip_is_as_probable_as_simulation_says():
    """Over methods whose true differences are anything, predicted and real flips are as many."""
    g = np.random.default_rng(0)
    truth = g.uniform(-20, 20, 1000)  # far wider than the noise, as good as flat
    known = truth[:, None] + g.standard_normal((1000, 4)) * 3
    new = truth + g.standard_normal(1000) * 3
    flipped = np.mean(np.sign(new) != np.sign(known.mean(1)))
    predicted = np.mean([flip_probability(row) for row in known.tolist()])
    assert predicted == pytest.approx(flipped, abs=4 * math.sqrt(flipped / 1000))


def test_flips_by_hand():
    # Mean 2, deviation 1, three known and one new: 2 / sqrt(4/3) at 2 degrees of freedom.
    t = 2 / math.sqrt(4 / 3)
    assert flip_probability([1.0, 2.0, 3.0]) == pytest.approx((1 - t / math.sqrt(t**2 + 2)) / 2)
    more = flip_probability([1.0, 2.0, 3.0], new=5)
    assert more < flip_probability([1.0, 2.0, 3.0]) == flip_probability([-1.0, -2.0, -3.0])
    assert flip_probability([1.0]) is None and flip_probability([2.0, 2.0]) is None
    assert flip_probability([-1.0, 1.0]) == 0.5


@pytest.mark.parametrize(("effect", "count"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_the_sets_of_shots_that_a_claim_needs(effect, count):
    """The textbook's numbers of pairs for power 0.8 at 5 %, two-sided."""
    assert power_of(effect, count) >= 0.8 > power_of(effect, count - 1)
    half = 1 / math.sqrt(2)  # two values, mean `effect`, deviation 1
    assert subsets_needed([effect - half, effect + half]) == count


def test_power_is_the_share_of_tests_that_succeed():
    values = np.random.default_rng(1).standard_normal((20_000, 6)) + 1.2
    p = stats.ttest_1samp(values, 0, axis=1).pvalue
    assert power_of(1.2, 6) == pytest.approx(float(np.mean(p <= 0.05)), abs=0.01)
    assert power_of(0.0, 6) == pytest.approx(0.05) and power_of(9.0, 6) == 1.0


def test_claims_that_need_none_or_too_many():
    assert subsets_needed([1.0]) is None and subsets_needed([-1.0, 1.0]) is None
    assert subsets_needed([2.0, 2.0]) is None and subsets_needed([-1.0, 1.0001]) is None
