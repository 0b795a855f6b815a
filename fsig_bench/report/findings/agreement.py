"""Do metrics agree with what is known of the images? Over the methods of a grid of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fsig_bench.report.findings.grid import ALONE, Grid, Reading, without_controls
from fsig_bench.report.findings.kendall import Agreement, agreements_with, permutations
from fsig_bench.report.findings.parts import DISTANCE
from fsig_bench.report.inference.intervals import RISK, holm

# What is known of drawn images -> the metrics that state it, the first that the records hold.
TRUTHS: Mapping[str, tuple[Reading, ...]] = {
    "factor distance": (Reading(metric=DISTANCE),),
    "factors alone": (Reading(metric=DISTANCE, how=ALONE),),
    "factor coverage": (Reading(metric="factor_coverage"),),
    "leaving the source": (Reading(metric="source_leakage"),),
    "fidelity": (Reading(metric="rendering_residual"), Reading(metric="rendered_precision")),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One reading beside one truth."""

    reading: Reading
    truth: str
    found: Agreement
    p_holm: float  # corrected for all lines of its family

    @property
    def holds(self) -> bool:
        """Whether it can be told from chance after the correction."""
        return self.p_holm <= RISK


@dataclass(frozen=True, kw_only=True)
class Family:
    """The tests of one set of methods on one set of targets, which are corrected together."""

    grid: Grid
    lines: tuple[Line, ...]

    @property
    def least_p(self) -> float:
        """The smallest p that a test of the family can have."""
        return min((line.found.least_p for line in self.lines), default=1.0)

    def can_succeed(self, truth: str | None = None) -> bool:
        """Whether some order of the methods would hold after the correction.

        Args:
            truth: look at the tests of this truth, and leave the others as they were found.
        """
        own = [n for n, line in enumerate(self.lines) if truth in (None, line.truth)]
        p_values = {n: line.found.p for n, line in enumerate(self.lines)}
        best = holm(p_values | {n: self.lines[n].found.least_p for n in own})
        return any(best[n] <= RISK for n in own)


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One set of targets: its methods, and its methods with the controls among them."""

    methods: Family
    with_controls: Family  # the same as `methods` where there are no controls

    @property
    def families(self) -> tuple[Family, ...]:
        """Those that differ."""
        both = (self.methods, self.with_controls)
        return both if self.with_controls.grid.controls else both[:1]


def analyse(grid: Grid, rng: np.random.Generator) -> Analysis:
    """Every metric beside every truth; random orders, where methods are many, come from `rng`."""
    methods = family_of(without_controls(grid), rng)
    both = family_of(grid, rng) if grid.controls else methods
    return Analysis(methods=methods, with_controls=both)


def truths_of(grid: Grid) -> dict[str, Reading]:
    """The truths that the grid holds, and by which metric."""
    found = {truth: [r for r in some if r in grid.scores] for truth, some in TRUTHS.items()}
    return {truth: there[0] for truth, there in found.items() if there}


def family_of(grid: Grid, rng: np.random.Generator) -> Family:
    """Every metric beside every truth, and each truth beside those that follow it."""
    truths = truths_of(grid)
    places = {reading: n for n, reading in enumerate(truths.values())}
    moves = permutations(len(grid.methods), rng)
    found: dict[tuple[Reading, str], Agreement] = {}
    for place, (truth, other) in enumerate(truths.items()):
        beside = [r for r in grid.scores if places.get(r, -1) < place]
        each = agreements_with([grid.scores[r] for r in beside], grid.scores[other], moves)
        pairs = zip(beside, each, strict=True)
        found |= {(reading, truth): own for reading, own in pairs if own is not None}
    adjusted = holm({key: own.p for key, own in found.items()})
    order: Sequence[tuple[Reading, str]] = [(r, t) for r in grid.scores for t in truths]
    return Family(
        grid=grid,
        lines=tuple(
            Line(reading=key[0], truth=key[1], found=found[key], p_holm=adjusted[key])
            for key in order
            if key in found
        ),
    )
