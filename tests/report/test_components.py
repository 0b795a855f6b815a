"""Variance components: by hand, from planted ones, and from records with a crossed part."""

import numpy as np
import pytest
from planted_grids import PLANTED, WITH_DRAWS, grids, truth
from report_records import record
from scipy import stats

from fsig_bench.report.inference.components import components, mean_squares
from fsig_bench.report.inference.crossing import crossed_block, pooled_components
from fsig_bench.report.inference.units import Chance
from fsig_bench.report.markdown import report


def test_mean_squares_by_hand():
    """Two sets of shots, two seeds, two draws of one target: each effect is a contrast."""
    y = np.array([[[1.0, 3.0], [2.0, 8.0]], [[4.0, 6.0], [9.0, 15.0]]])[None]
    flat = y.reshape(8)
    signs = {
        "shots": [-1, -1, -1, -1, 1, 1, 1, 1],
        "seeds": [-1, -1, 1, 1, -1, -1, 1, 1],
        "draws": [-1, 1, -1, 1, -1, 1, -1, 1],
    }
    contrast = {name: (flat @ np.array(s)) ** 2 / 8 for name, s in signs.items()}
    lines = mean_squares(y)
    for name, value in contrast.items():
        assert lines[name].value == pytest.approx(value) and lines[name].df == 1
    states = (flat @ np.multiply(signs["shots"], signs["seeds"])) ** 2 / 8
    assert lines["states"].value == pytest.approx(states)
    total = float(np.square(flat - flat.mean()).sum())
    rest = total - sum(contrast.values()) - states
    assert lines["rest"].value == pytest.approx(rest / 3) and lines["rest"].df == 3
    found = components(y, pivots=100)
    assert found["residual"].estimate == pytest.approx(rest / 3)
    assert found["shots"].estimate == pytest.approx((contrast["shots"] - states) / 4)
    assert found["drawing"].estimate == pytest.approx((contrast["draws"] - rest / 3) / 4)


def test_adapting_is_the_nested_analysis_between_seeds_within_shots():
    y = grids(1, shape=(3, 4, 3, 2))[0]
    within = y.mean(-1).var(-1, ddof=1).mean()  # of the states' means, seeds within shots
    found = components(y, pivots=100)
    assert found["adapting"].estimate == pytest.approx(within - found["residual"].estimate / 2)
    lines, dfs = mean_squares(y), {name: float(c.df) for name, c in found.items()}
    parts = [(lines["seeds"].value / 8, 6), (3 * lines["states"].value / 8, 18)]
    adapting = sum(v for v, _ in parts) ** 2 / sum(v**2 / df for v, df in parts)
    assert dfs == pytest.approx({"shots": 9, "adapting": adapting, "drawing": 3, "residual": 33})


def test_seeds_and_draws_that_targets_share_count_once():
    y = grids(1, shape=(3, 4, 3, 2))[0]
    lines = mean_squares(y, ("seeds", "draws"))
    assert {name: line.df for name, line in lines.items()} == {
        **{"shots": 9, "seeds": 2, "states": 18, "draws": 1, "rest": 33}
    }
    apart, together = components(y), components(y, shared=("seeds", "draws"))
    assert together["drawing"].high > apart["drawing"].high
    assert together["drawing"].estimate == apart["drawing"].estimate
    assert together["shots"].high == apart["shots"].high


def test_intervals_hold_where_targets_share_seeds_and_draws():
    """Effects of seed and draw that all six targets have in common; apart they cover 60 to 85 %."""
    alike = grids(1000, shape=(1, 3, 3, 2), seed=5, parts=("seeds", "draws"))
    own = grids(1000, shape=(6, 3, 3, 2), seed=6, parts=("shots", "states", "rest"))
    values, true = alike + own, truth(PLANTED)
    covered = {}
    for shared in ((), ("seeds", "draws")):
        found = components(values, pivots=1000, shared=shared)
        covered[shared] = {
            n: np.mean((found[n].low <= true[n]) & (true[n] <= found[n].high)) for n in true
        }
    assert covered[()]["drawing"] < 0.75 and covered["seeds", "draws"]["drawing"] >= 0.93
    assert covered[()]["adapting"] < 0.92 <= covered["seeds", "draws"]["adapting"]


def test_one_draw_of_each_state_is_the_two_way_analysis():
    y = grids(1, shape=(2, 3, 3, 1))[0]
    found = components(y, pivots=100)
    assert set(found) == {"shots", "adapting and drawing"}
    assert found["adapting and drawing"].estimate == pytest.approx(y[..., 0].var(-1, ddof=1).mean())
    with pytest.raises(ValueError, match="1 sets of shots by 3 seeds"):
        components(y[:, :1])


def test_the_residuals_interval_is_the_exact_one():
    found = components(grids(1)[0])["residual"]
    exact = 16 * found.estimate / stats.chi2.ppf([0.975, 0.025], 16)
    assert (found.low, found.high) == pytest.approx(tuple(exact), rel=2e-3)


def test_planted_components_are_found_again():
    """500 grids of the crossed part's size; tests/bench/coverage_of_intervals.py tries more."""
    found = components(grids(500, seed=3), pivots=1000)
    for name, true in truth(PLANTED).items():
        assert found[name].estimate.mean() == pytest.approx(true, rel=0.1), name
        covered = np.mean((found[name].low <= true) & (true <= found[name].high))
        assert 0.93 <= covered <= 0.97, (name, covered)


def test_what_the_shots_do_to_a_draw_ends_where_the_page_says():
    """Planted beside components of 1: 4 of variance, on 4 x 3 x 2 places of 2 targets."""
    alike = dict.fromkeys(PLANTED, 1.0)
    planted = alike | {WITH_DRAWS: 4.0}
    values = grids(4000, planted, shape=(2, 4, 3, 2), seed=2, parts=tuple(planted))
    found = {name: c.estimate.mean() for name, c in components(values, pivots=10).items()}
    rest = 3 * 3 * 4 / 11  # (s - 1) a / (s a - 1) of it
    moved = {"shots": 4 / 2, "adapting": -rest / 2, "drawing": (3 * 4 - rest) / 12}
    expected = {n: v + moved.get(n, rest) for n, v in truth(alike).items()}
    assert found == pytest.approx(expected, rel=0.06)


def test_without_chance_nothing_is_found():
    found = components(np.full((2, 3, 3, 2), 7.0))
    assert all(c.estimate == c.low == c.high == 0 for c in found.values())


MAIN = {Chance(i, i, i) for i in range(5)}
CROSSED = {Chance(s, a, d) for s in range(3) for a in range(3) for d in range(2)}


def test_the_crossed_part_is_found_among_other_runs():
    block = crossed_block(MAIN | CROSSED)
    assert (block.subsets, block.seeds, block.draws) == ((0, 1, 2), (0, 1, 2), (0, 1))
    assert crossed_block(MAIN) is None  # axes that go together cannot be told apart
    assert crossed_block({Chance(0, a, d) for a in range(3) for d in range(3)}) is None
    lacking = crossed_block(CROSSED - {Chance(2, 2, 1)})
    assert lacking.size == 12 and len(lacking.draws) == 2
    tied = crossed_block({Chance(s, a, a) for s in range(3) for a in range(3)})
    assert tied.shape == (3, 3, 1)


def moved(chance, target):
    """The same place with seeds and draws of the target's own."""
    return Chance(chance.subset, chance.seed + 10 * target, chance.draw + 10 * target)


def test_components_are_pooled_over_targets_of_one_shape():
    values = grids(1, shape=(3, 3, 3, 2))[0]
    by_target = {
        name: {moved(c, t): float(values[t][c]) for c in CROSSED}
        | {moved(c, t): 1e6 for c in MAIN - CROSSED}
        for t, name in enumerate(("babies", "obama", "sketches"))
    }
    by_target["cats"] = {c: 0.0 for c in CROSSED if c.draw == 0}
    pooled = pooled_components(by_target)
    assert pooled.targets == ("babies", "obama", "sketches") and pooled.shape == (3, 3, 2)
    direct = components(values)
    for name, component in pooled.components.items():
        assert component.estimate == pytest.approx(direct[name].estimate)
        assert component.low == pytest.approx(direct[name].low)
        assert component.df == pytest.approx(direct[name].df)
    assert pooled.shared == ()
    same = {
        t: {Chance(c.subset, c.seed % 10, c.draw): v for c, v in runs.items()}
        for t, runs in by_target.items()
    }
    again = pooled_components(same)
    assert again.shared == ("seeds",)
    assert again.components["adapting"].df < pooled.components["adapting"].df
    assert pooled_components({"babies": dict.fromkeys(MAIN, 1.0)}) is None


def crossed_records(values):
    """Records of two targets, each with seeds and draws of its own, from values [t, s, a, d]."""
    return [
        record(dataset=name, subset=s, seed=a, draw=d, fd=float(values[t][c]))
        for t, name in enumerate(("babies", "sketches"))
        for c in CROSSED
        for s, a, d in (moved(c, t),)
    ]


def test_the_report_shows_where_the_chance_comes_from():
    values = grids(1)[0]
    text = report(crossed_records(values))
    found = components(values)["shots"]
    assert "from 3 sets of shots x 3 seeds x 2 draws on babies, sketches, pooled" in text
    assert "| metric | method | shots | adapting | drawing | residual |" in text
    interval = f"{found.low**0.5:.2f} to {found.high**0.5:.2f}"
    shots = f"{found.estimate**0.5:.2f} ({interval}; df of MS shots 4)"
    assert f"| Frechet distance | CRDI | {shots} |" in text
    assert "below detection" not in text.lower()
    assert "; df of MS seeds and states " in text and "; df of MS rest 16)" in text
    assert "Where the chance" not in report([record(seed=s, fd=float(s)) for s in range(3)])


def test_a_component_without_an_upper_end_is_said_to_be_below_detection():
    """The sets of shots agree far better than states within them do: no variance fits that."""
    g = np.random.default_rng(0)
    values = g.standard_normal((2, 3, 3, 2))
    values -= values.mean((-2, -1), keepdims=True)
    found = components(values)["shots"]
    assert found.estimate < 0 and found.high == 0
    assert found.df_of == ("shots",)  # and not those of the states, which it subtracts
    text = report(crossed_records(values))
    assert "| Frechet distance | CRDI | below detection | " in text
    assert "Below detection: the upper end of the interval is 0 or less." in text
    assert "0.00 (0.00 to 0.00" not in text
