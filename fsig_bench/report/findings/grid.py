"""Methods that all have runs on the same targets, and how each metric orders them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_card, metric_names
from fsig_bench.report.findings.parts import DISTANCE, by_run
from fsig_bench.report.inference.scores import REAL, Runs, scores_of
from fsig_bench.report.inference.units import chance_of, units_of
from fsig_bench.report.records import comparable_setting
from fsig_bench.report.variants import main_variant

Means = Mapping[tuple[str, str], float]  # (method, target) -> larger is better
ALONE = "factors alone"  # of the factor distance: the sum of its parts without the domain's
AS_PRINTED, TO_REAL = "as papers read it", "distance to real images"
FEWEST = 4  # methods of a grid
SETS = 2  # of shots that a method of a grid of fewer targets has on each of them


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
    held = held_targets(group, by_reading)
    methods = [method for method, there in held.items() if there.issuperset(targets)]
    if len(methods) < FEWEST:
        raise ValueError(
            f"{len(methods)} methods have all metrics on {', '.join(targets)}; {FEWEST} are few"
        )
    return _grid(group, by_reading, methods, targets)


def held_targets(
    group: Sequence[Record], by_reading: Mapping[Reading, Means], sets: int = 1
) -> dict[str, frozenset[str]]:
    """Each method but `real` -> the targets on which it has every metric.

    Args:
        group: records of one setting.
        by_reading: their `readings`.
        sets: how many sets of shots it has there at least.
    """
    subsets: dict[tuple[str, str], set[int]] = defaultdict(set)
    for r in group:
        subsets[r["method"], r["dataset"]].add(chance_of(r).subset)
    whole = {
        place
        for place, own in subsets.items()
        if len(own) >= sets and all(place in values for values in by_reading.values())
    }
    names = sorted({method for method, _ in subsets if method != REAL})
    return {m: frozenset(target for method, target in whole if method == m) for m in names}


def wider_grid(records: Sequence[Record], whole: Grid) -> Grid | None:
    """The grid of fewer targets that holds the most methods; see `wider_targets`.

    Args:
        records: those that `whole` was made from.
        whole: the grid of all targets.

    Returns:
        Methods with all metrics and several sets of shots on each of the targets; None where no
        set of targets holds more methods than all targets do.
    """
    group = main_group(records)
    by_reading = readings(group)
    held = held_targets(group, by_reading, SETS)
    controls = {r["method"] for r in group if is_control(r)}
    targets = wider_targets(
        [there for method, there in held.items() if method not in controls],
        whole.targets,
        more_than=len(without_controls(whole).methods),
    )
    if targets is None:
        return None
    methods = [method for method, there in held.items() if there.issuperset(targets)]
    return _grid(group, by_reading, methods, targets)


def wider_targets(
    held: Sequence[frozenset[str]], targets: Sequence[str], *, more_than: int
) -> tuple[str, ...] | None:
    """The set of at least two targets, but not all, that holds the most methods.

    Args:
        held: the targets of each method.
        targets: all of them.
        more_than: how many methods are not enough.

    Returns:
        Of sets with equally many methods the largest, and of these the first by name; None where
        all hold too few.
    """
    sizes = range(len(targets) - 1, 1, -1)
    sets = [some for size in sizes for some in combinations(sorted(targets), size)]
    best = max(sets, key=lambda some: sum(map(set(some).issubset, held)), default=None)
    if best is None or sum(map(set(best).issubset, held)) <= more_than:
        return None
    return best


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
