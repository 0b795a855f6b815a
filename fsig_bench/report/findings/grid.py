"""Methods that all have runs on the same targets, and how each metric orders them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_card, metric_names
from fsig_bench.report.findings.parts import DISTANCE, by_run
from fsig_bench.report.inference.scores import REAL, Runs, scores_of
from fsig_bench.report.inference.units import units_of
from fsig_bench.report.records import comparable_setting
from fsig_bench.report.variants import main_variant

Means = Mapping[tuple[str, str], float]  # (method, target) -> larger is better
ALONE = "factors alone"  # of the factor distance: the sum of its parts without the domain's
AS_PRINTED, TO_REAL = "as papers read it", "distance to real images"
FEWEST = 4  # methods of a grid


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A metric, read in one way."""

    metric: str
    how: str = ""

    @property
    def heading(self) -> str:
        """As tables name it."""
        return metric_card(self.metric).heading + (f", {self.how}" if self.how else "")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Methods that all have runs on all targets."""

    records: tuple[Record, ...]  # of these targets
    methods: tuple[str, ...]
    controls: frozenset[str]  # those of the methods that are controls
    targets: tuple[str, ...]
    scores: Mapping[Reading, list[list[float]]]  # [targets][methods], larger is better


def main_group(records: Sequence[Record]) -> list[Record]:
    """The records of suite=mini that share a table, of the largest such group."""
    mini = [r for r in records if r["suite"] == "mini"]
    if not mini:
        raise ValueError("none of the records has suite=mini; name a folder that holds some")
    counts = Counter(comparable_setting(r) for r in mini)
    first = max(counts, key=lambda key: (counts[key], key))
    return main_variant([r for r in mini if comparable_setting(r) == first])


def is_control(record: Record) -> bool:
    """Whether a record's method is a control."""
    return bool(record["config"]["method"]["card"]["kind"] == "control")


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
        if name == DISTANCE:
            parts = by_run(records, lambda parts: parts.factors)
            found[Reading(metric=name, how=ALONE)] = means(parts, -1.0)
    return {reading: own for reading, own in found.items() if own}


def grid_of(records: Sequence[Record]) -> Grid:
    """The methods that have every metric on every target.

    Raises:
        ValueError: there are fewer than four such methods.
    """
    group = main_group(records)
    by_reading = readings(group)
    targets = sorted({r["dataset"] for r in group})
    names = sorted({r["method"] for r in group if r["method"] != REAL})
    methods = [
        m for m in names if all((m, t) in own for own in by_reading.values() for t in targets)
    ]
    if len(methods) < FEWEST:
        raise ValueError(
            f"{len(methods)} methods have all metrics on {', '.join(targets)}; {FEWEST} are few"
        )
    return _grid(group, by_reading, methods, targets)


def _grid(
    group: Sequence[Record],
    by_reading: Mapping[Reading, Means],
    methods: Sequence[str],
    targets: Sequence[str],
) -> Grid:
    return Grid(
        records=tuple(r for r in group if r["dataset"] in targets),
        methods=tuple(methods),
        controls=frozenset(r["method"] for r in group if is_control(r)) & frozenset(methods),
        targets=tuple(targets),
        scores={
            reading: [[own[m, t] for m in methods] for t in targets]
            for reading, own in by_reading.items()
        },
    )


def without_controls(grid: Grid) -> Grid:
    """The same grid of methods alone."""
    kept = [i for i, method in enumerate(grid.methods) if method not in grid.controls]
    return replace(
        grid,
        methods=tuple(grid.methods[i] for i in kept),
        controls=frozenset(),
        scores={
            reading: [[row[i] for i in kept] for row in rows]
            for reading, rows in grid.scores.items()
        },
    )
