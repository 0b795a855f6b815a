"""From single runs to values that are independent of each other, and what their spread holds.

Runs that share a set of shots are no independent witnesses of a method on that target, and neither
are runs that share a seed. Where the shots vary, a set of shots is the unit; where all runs have
one set, an adaptation is, and the spread leaves out the choice of the shots.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fsig_bench.api.plain import Record
from fsig_bench.store.records import draw_of


class Chance(NamedTuple):
    """The three axes of chance of one run."""

    subset: int  # which shots
    seed: int  # of adapting
    draw: int  # of sampling


AXES = Chance._fields


def chance_of(record: Record) -> Chance:
    """A record's place on the three axes."""
    draw = draw_of(record)
    seed = record["seed"]
    return Chance(subset=record.get("subset", 0), seed=seed, draw=seed if draw is None else draw)


def mean_by_chance(runs: Iterable[tuple[Record, float]]) -> dict[Chance, float]:
    """The value of each place on the axes; runs at one place are averaged."""
    found: dict[Chance, list[float]] = defaultdict(list)
    for record, value in runs:
        found[chance_of(record)].append(value)
    return {chance: statistics.fmean(values) for chance, values in found.items()}


@dataclass(frozen=True, kw_only=True)
class Units:
    """Independent values of one method on one target."""

    mean: float  # over units of the mean of each unit's runs: every run counts
    values: tuple[float, ...]  # their spread is what chance does
    holds: tuple[str, ...]  # the axes that differ from unit to unit
    axis: str  # what a unit is: subset, seed or draw; "" for a single run
    runs: int

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def std(self) -> float | None:
        """Standard deviation of the units, with n - 1; None for a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def text(self, decimals: int) -> str:
        """Mean, with the standard deviation where there is one."""
        mean = f"{self.mean:.{decimals}f}"
        return mean if self.std is None else f"{mean} ± {self.std:.{decimals}f}"


def units_of(values: Mapping[Chance, float]) -> Units:
    """The independent units of runs of one method on one target.

    The first axis that varies (shots, then seed, then draw) names the units. If no two units share
    a level of another axis, a unit's value is the mean of its runs. Otherwise it is one run of
    each unit, chosen so that no two of these share anything. If there is no such choice, it is the
    mean again; the axes that the units share are then not in their spread.

    Args:
        values: a value for each run, at least one.
    """
    varied = [i for i in range(len(AXES)) if len({chance[i] for chance in values}) > 1]
    ordered = sorted(values, key=_apart_last)
    if not varied:
        return Units(
            mean=values[ordered[0]], values=(values[ordered[0]],), holds=(), axis="", runs=1
        )
    groups: dict[int, list[Chance]] = defaultdict(list)
    for chance in ordered:
        groups[chance[varied[0]]].append(chance)
    means = [statistics.fmean(values[c] for c in groups[g]) for g in sorted(groups)]
    chosen, holds = tuple(means), tuple(AXES[i] for i in varied)
    if shared := [i for i in varied[1:] if _is_shared(groups, i)]:
        enough = all(len({c[i] for c in values}) >= len(groups) for i in varied)
        each = [groups[g] for g in sorted(groups)]
        if enough and (single := _runs_that_share_nothing(each, varied)) is not None:
            chosen = tuple(values[chance] for chance in single)
        else:
            holds = tuple(AXES[i] for i in varied if i not in shared)
    return Units(
        mean=statistics.fmean(means),
        values=chosen,
        holds=holds,
        axis=AXES[varied[0]],
        runs=len(values),
    )


def _apart_last(chance: Chance) -> tuple[int, ...]:
    """Runs with subset = seed = draw first: a grid that varies them together has no others."""
    return (len(set(chance)), *chance)


def _is_shared(groups: Mapping[int, list[Chance]], axis: int) -> bool:
    """Whether two groups have a level of an axis in common."""
    levels = [{chance[axis] for chance in group} for group in groups.values()]
    return sum(map(len, levels)) > len(set.union(*levels))


def _runs_that_share_nothing(
    groups: Sequence[Sequence[Chance]],
    varied: Sequence[int],
    used: frozenset[tuple[int, int]] = frozenset(),
) -> list[Chance] | None:
    """One run of each group, no two with the same level of any axis that varies.

    The first such choice in the order of the runs; None where there is none.
    """
    if not groups:
        return []
    for chance in groups[0]:
        levels = {(i, chance[i]) for i in varied}
        if not levels & used:
            rest = _runs_that_share_nothing(groups[1:], varied, used | levels)
            if rest is not None:
                return [chance, *rest]
    return None
