"""Do estimates and 95 % intervals keep their word?  python tests/bench/coverage_of_intervals.py

Simulates grids with planted variance components and applies what reports apply. Prints, for each
component, the mean estimate as a multiple of the planted one and how often the interval holds it;
then the same where targets share seeds and draws, where their components differ, and where each set
of shots moves a draw in its own way, which the model leaves out; then how often the paired interval
over five sets of shots, and that over six targets, hold the true difference, how often a page of
true null hypotheses has a star, and how often rankings change on new shots beside how often that is
predicted. Exit status 1 where, over 500 grids with the components measured on Babies, a mean is off
by more than 10 % or a coverage lies outside 93 to 97 %. About fifteen seconds on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from planted_grids import PLANTED, WITH_DRAWS, grids, truth

from fsig_bench.report.inference.components import Component, components
from fsig_bench.report.inference.intervals import estimate, holm
from fsig_bench.report.inference.paired import paired_units
from fsig_bench.report.inference.reranking import order_changes, ordered, rank_sums
from fsig_bench.report.inference.units import Chance

CASES = {
    "as measured on Babies": PLANTED,
    "all alike": {"shots": 1.0, "seeds": 0.5, "states": 0.5, "draws": 1.0, "rest": 1.0},
    "shots small": {"shots": 0.2, "seeds": 0.2, "states": 1.0, "draws": 0.3, "rest": 1.0},
}
TARGETS, METHODS, SUBSETS, TESTS = 6, 6, 5, 40


def tried(name: str, planted: dict[str, float], count: int, *, targets: int) -> bool:
    """Prints a line for each component; whether all are within the limits."""
    found = components(grids(count, planted, shape=(targets, 3, 3, 2), seed=count), pivots=1000)
    print(f"{name}, {targets} targets x 3 subsets x 3 seeds x 2 draws, {count} grids")
    good = True
    for component, true in truth(planted).items():
        own = found[component]
        ratio = float(own.estimate.mean()) / true
        covered = float(np.mean((own.low <= true) & (true <= own.high)))
        good &= abs(ratio - 1) <= 0.1 and 0.93 <= covered <= 0.97
        print(f"  {component:<9} mean {ratio:.3f} of the planted, covered {covered:.1%}")
    return good


def shared_levels(count: int) -> None:
    """Six targets whose seeds and draws are the same, taken as apart and as what they are."""
    alike = grids(count, shape=(1, 3, 3, 2), seed=5, parts=("seeds", "draws"))
    values = alike + grids(count, shape=(6, 3, 3, 2), seed=6, parts=("shots", "states", "rest"))
    print(f"seeds and draws that six targets share, {count} grids")
    for how, shared in (("taken as apart", ()), ("counted once", ("seeds", "draws"))):
        found = components(values, pivots=1000, shared=shared)
        print(f"  {how}: {coverage_text(found, truth(PLANTED))}")


def unequal_targets(count: int, factor: float) -> None:
    """Two targets, of which one has all deviations smaller by a factor: the mean component."""
    values = grids(count, shape=(2, 3, 3, 2), seed=9)
    values[:, 1] /= factor
    true = {name: v * (1 + factor**-2) / 2 for name, v in truth(PLANTED).items()}
    found = components(values, pivots=1000)
    print(f"two targets whose deviations differ by a factor of {factor:g}, {count} grids")
    print(f"  {coverage_text(found, true)}")


def draws_by_shots(name: str, planted: dict[str, float], own: float, count: int) -> None:
    """Two targets where each set of shots moves a draw in its own way, with a variance of `own`."""
    parts = planted | {WITH_DRAWS: own}
    values = grids(count, parts, shape=(2, 3, 3, 2), seed=11, parts=tuple(parts))
    found, true = components(values, pivots=1000), truth(planted)
    print(f"{name}, and shots x draws of variance {own:g}, 2 targets, {count} grids")
    means = (f"{n} {float(found[n].estimate.mean()) / v:.3f}" for n, v in true.items())
    print(f"  mean as a multiple of the planted: {', '.join(means)}")
    print(f"  covered: {coverage_text(found, true)}")


def coverage_text(found: dict[str, Component], true: dict[str, float]) -> str:
    """How often the intervals hold the true components."""
    own = {n: np.mean((found[n].low <= v) & (v <= found[n].high)) for n, v in true.items()}
    return ", ".join(f"{name} {share:.1%}" for name, share in own.items())


def coverage_of_pairs(count: int) -> tuple[float, float]:
    """Of the true difference: on one target over sets of shots, and over targets."""
    g = np.random.default_rng(7)
    hits = [0, 0]
    for _ in range(count):
        own = 3.0 + 2.0 * g.standard_normal(TARGETS)  # each target has its own difference
        shared = 24.6 * g.standard_normal((TARGETS, SUBSETS))  # the shots' chance, which cancels
        values = shared + 6.0 * g.standard_normal((2, TARGETS, SUBSETS))
        values[0] += own[:, None]
        runs = [
            [{Chance(s, s, s): v for s, v in enumerate(row)} for row in side]
            for side in values.tolist()
        ]
        units = [paired_units(a, b) for a, b in zip(*runs, strict=True)]
        within = estimate(units[0].values, units[0].mean)
        over = estimate([u.mean for u in units])
        hits[0] += within.low <= own[0] <= within.high
        hits[1] += over.low <= 3.0 <= over.high
    return hits[0] / count, hits[1] / count


def pages_with_a_star(count: int) -> float:
    """The share of pages on which Holm's correction leaves a star, where nothing differs."""
    g = np.random.default_rng(8)
    stars = 0
    for _ in range(count):
        values = g.standard_normal((TESTS, SUBSETS)) + g.standard_normal(SUBSETS)  # tests agree
        p = holm({i: estimate(row).p for i, row in enumerate(values.tolist())})
        stars += min(p.values()) <= 0.05
    return stars / count


def changes_of_rankings(sets: int, count: int) -> None:
    """Six methods on six targets: predicted changes of a ranking, and those on new shots."""
    g = np.random.default_rng(12)
    predicted, real = [], []
    for _ in range(count):
        shots = 24.6 * g.standard_normal((TARGETS, sets + 1, 1))
        own = 6.0 * g.standard_normal((TARGETS, sets + 1, METHODS))
        values = 100 * g.uniform(-1, 1, (TARGETS, 1, METHODS)) + shots + own
        known, new = values[:, :-1], values[:, -1]
        runs = {
            str(m): {
                str(t): {Chance(s, s, s): float(known[t, s, m]) for s in range(sets)}
                for t in range(TARGETS)
            }
            for m in range(METHODS)
        }
        found = order_changes(runs, lower_is_better=True, generator=g, draws=500)
        sums = rank_sums(known.mean(1)), rank_sums(new)
        firsts = [own == own.min() for own in sums]
        orders = [ordered(own) for own in sums]
        predicted.append((found.first, found.order))
        real.append(((firsts[0] != firsts[1]).any(), (orders[0] != orders[1]).any()))
    (first, order), (new_first, new_order) = (np.mean(v, axis=0) for v in (predicted, real))
    print(f"rankings of six methods over six targets, {sets} sets of shots, {count} rankings")
    print(f"  first place: predicted {first:.1%}, changed {new_first:.1%}", end="; ")
    print(f"order: predicted {order:.1%}, changed {new_order:.1%}")


def main() -> int:
    """Prints everything; 1 where a limit is broken."""
    good = tried("as measured on Babies", PLANTED, 500, targets=2)
    for name, planted in CASES.items():
        for targets in (2, 6):
            tried(name, planted, 5000, targets=targets)
    shared_levels(1000)
    for factor in (3.0, 10.0):
        unequal_targets(5000, factor)
    draws_by_shots("as measured on Babies", PLANTED, PLANTED["rest"], 5000)
    draws_by_shots("all alike", CASES["all alike"], 1.0, 5000)
    within, over = coverage_of_pairs(1000)
    print(f"paired interval on one target, five sets of shots: covered {within:.1%} of 1000")
    print(f"paired interval over six targets: covered {over:.1%} of 1000")
    starred = pages_with_a_star(500)
    print(f"pages of {TESTS} tests without a difference that show a star: {starred:.1%}")
    for sets in (2, 3, 5):
        changes_of_rankings(sets, 1000)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
