"""Do estimates and 95 % intervals keep their word?  python tests/bench/coverage_of_intervals.py

Simulates grids with planted variance components and applies what reports apply. Prints, for each
component, the mean estimate as a multiple of the planted one and how often the interval holds it;
then the same where targets share seeds and draws, where their components differ, and where each set
of shots moves a draw in its own way, which the model leaves out; then how often the paired interval
over five sets of shots, and that over six targets, hold the true difference, and how often a page
of true null hypotheses has a star. Exit status 1 where, over 500 grids with the components measured
on Babies, a mean is off by more than 10 % or a coverage lies outside 93 to 97 %. About ten seconds
on one core.
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
from fsig_bench.report.inference.units import Chance

CASES = {
    "as measured on Babies": PLANTED,
    "all alike": {"shots": 1.0, "seeds": 0.5, "states": 0.5, "draws": 1.0, "rest": 1.0},
    "shots small": {"shots": 0.2, "seeds": 0.2, "states": 1.0, "draws": 0.3, "rest": 1.0},
}
TARGETS, SUBSETS, TESTS = 6, 5, 40


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
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
