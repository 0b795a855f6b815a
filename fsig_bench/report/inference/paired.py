"""Two methods compared run by run: what both sides share cancels."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from fsig_bench.report.inference.intervals import RISK, Estimate, estimate
from fsig_bench.report.inference.resampling import flip_probability, subsets_needed
from fsig_bench.report.inference.scores import Runs, Scores
from fsig_bench.report.inference.units import Units, units_of

OVER_TARGETS = "all"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First method minus second, on one target or over all of them."""

    place: str  # the target, or OVER_TARGETS
    estimate: Estimate
    unit: str  # what the interval counts: target, subset, seed or draw; "" for a single pair
    flips: float | None = None  # the probability of the other order on one new set of shots
    values: tuple[float, ...] = ()  # the units' differences, where these are sets of shots

    def sets_needed(self, tests: int) -> int | None:
        """Sets of shots for power 0.8 on a page that corrects so many tests (Bonferroni)."""
        return subsets_needed(self.values, mean=self.estimate.mean, risk=RISK / max(tests, 1))

    @property
    def holds_shots(self) -> bool:
        """Whether the interval holds the choice of the shots."""
        return self.unit in ("target", "subset")


def paired_units(first: Runs, second: Runs) -> Units | None:
    """Independent differences on one target, from runs with equal shots, seed and draw."""
    both = {c: first[c] - second[c] for c in sorted(first.keys() & second.keys())}
    return units_of(both) if both else None


def difference_on(target: str, units: Units) -> Difference:
    """On one target: the set of shots is the unit where it varies."""
    of_shots = units.axis == "subset"
    return Difference(
        place=target,
        estimate=estimate(units.values, units.mean),
        unit=units.axis,
        flips=flip_probability(units.values, mean=units.mean) if of_shots else None,
        values=units.values if of_shots else (),
    )


def differences(scores: Scores, first: str, second: str) -> list[Difference]:
    """By target, then over all targets where there are several: there the target is the unit.

    There is no row over all targets where both methods draw the same images on several of them,
    as `source` does: these targets are one observation.
    """
    one, other = scores.of(first), scores.of(second)
    by_target: dict[str, Units] = {}
    for target in sorted(one.keys() & other.keys()):
        if units := paired_units(one[target], other[target]):
            by_target[target] = units
    found = [difference_on(target, units) for target, units in by_target.items()]
    if len(found) > 1 and not {first, second} <= scores.same_images:
        means = [units.mean for units in by_target.values()]
        found.append(Difference(place=OVER_TARGETS, estimate=estimate(means), unit="target"))
    return found


def mean_flip(scores: Scores, methods: Sequence[str]) -> float | None:
    """Over pairs of methods and targets, how probable another order on one new set of shots is.

    None where no pair has runs of two sets of shots in common.
    """
    flips = [
        d.flips
        for i, first in enumerate(methods)
        for second in methods[i + 1 :]
        for d in differences(scores, first, second)
        if d.flips is not None
    ]
    return statistics.fmean(flips) if flips else None
