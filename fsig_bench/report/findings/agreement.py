"""Do metrics agree with what is known of the images? Over the methods of a grid of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_card, metric_names
from fsig_bench.report.findings.kendall import Agreement, agreement
from fsig_bench.report.inference.scores import REAL, Runs, scores_of
from fsig_bench.report.inference.units import units_of
from fsig_bench.report.records import comparable_setting
from fsig_bench.report.variants import main_variant

Means = Mapping[tuple[str, str], float]  # (method, target) -> larger is better
AS_PRINTED, TO_REAL = "as papers read it", "distance to real images"
# What is known of drawn images -> the metrics that state it, the first that the records hold.
TRUTHS: Mapping[str, tuple[str, ...]] = {
    "factor distance": ("factor_distance",),
    "factor coverage": ("factor_coverage",),
    "leaving the source": ("source_leakage",),
    "fidelity": ("rendering_residual", "rendered_precision"),
}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A metric, read in one way."""

    metric: str
    how: str

    @property
    def heading(self) -> str:
        """As tables name it."""
        return metric_card(self.metric).heading + (f", {self.how}" if self.how else "")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Methods that all have runs on all targets."""

    records: tuple[Record, ...]
    methods: tuple[str, ...]
    targets: tuple[str, ...]
    scores: Mapping[Reading, list[list[float]]]  # [targets][methods], larger is better


@dataclass(frozen=True, kw_only=True)
class Line:
    """One reading beside one truth."""

    reading: Reading
    truth: str
    found: Agreement


def main_group(records: Sequence[Record]) -> list[Record]:
    """The records of suite=mini that share a table, of the largest such group."""
    mini = [r for r in records if r["suite"] == "mini"]
    if not mini:
        raise ValueError("none of the records has suite=mini; name a folder that holds some")
    counts = Counter(comparable_setting(r) for r in mini)
    first = max(counts, key=lambda key: (counts[key], key))
    return main_variant([r for r in mini if comparable_setting(r) == first])


def means(runs: Mapping[tuple[str, str], Runs], sign: float) -> dict[tuple[str, str], float]:
    """The mean of each method on each target, times a sign; `real` is no method."""
    return {p: sign * units_of(own).mean for p, own in runs.items() if p[0] != REAL and own}


def readings(records: Sequence[Record]) -> dict[Reading, Means]:
    """Every metric with a direction, as papers read it, and by its distance to real images."""
    found: dict[Reading, Means] = {}
    for name in metric_names(records):
        scores = scores_of(records, name)
        two_ways = scores.card.better == "like_real"
        if scores.card.claimed in ("lower", "higher"):
            sign = -1.0 if scores.card.claimed == "lower" else 1.0
            how = AS_PRINTED if two_ways else ""
            found[Reading(metric=name, how=how)] = means(scores.values, sign)
        if two_ways:
            found[Reading(metric=name, how=TO_REAL)] = means(scores.compared, -1.0)
    return found


def grid_of(records: Sequence[Record]) -> Grid:
    """The methods that have every metric on every target.

    Raises:
        ValueError: there are fewer than four such methods.
    """
    group = main_group(records)
    by_reading = {reading: own for reading, own in readings(group).items() if own}
    targets = sorted({r["dataset"] for r in group})
    names = sorted({r["method"] for r in group if r["method"] != REAL})
    methods = [
        m for m in names if all((m, t) in own for own in by_reading.values() for t in targets)
    ]
    if len(methods) < 4:
        raise ValueError(
            f"{len(methods)} methods have all metrics on {', '.join(targets)}; 4 are few"
        )
    scores = {
        reading: [[own[m, t] for m in methods] for t in targets]
        for reading, own in by_reading.items()
    }
    return Grid(records=tuple(group), methods=tuple(methods), targets=tuple(targets), scores=scores)


def truths_of(grid: Grid) -> dict[str, Reading]:
    """The truths that the grid holds, and by which metric."""
    there = {reading.metric: reading for reading in grid.scores}
    found = {truth: next((m for m in names if m in there), None) for truth, names in TRUTHS.items()}
    return {truth: there[name] for truth, name in found.items() if name is not None}


def agreements(grid: Grid) -> list[Line]:
    """Every metric beside every truth, and each truth beside those that follow it."""
    truths = truths_of(grid)
    places = {reading: n for n, reading in enumerate(truths.values())}
    found = []
    for reading, scores in grid.scores.items():
        for place, (truth, other) in enumerate(truths.items()):
            own = agreement(scores, grid.scores[other])
            if places.get(reading, -1) < place and own is not None:
                found.append(Line(reading=reading, truth=truth, found=own))
    return found
