"""Best and second best of a column, among numbers that compare with each other.

Among printed numbers the best is the best that is printed. One of ours is marked only where chance
allows it: in runs with equal shots, seed and draw it has to differ from every row that it claims
to be better than, with the set of shots as the unit, after Holm's correction over the whole table.
A second best claims also that the best is better than it, so it is never marked alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fsig_bench.report.inference.intervals import RISK, estimate, holm
from fsig_bench.report.inference.paired import paired_units
from fsig_bench.report.inference.scores import REAL, Runs, distances
from fsig_bench.report.inference.units import units_of
from fsig_bench.report.tables.model import Column, Panel, TableCell

ENOUGH_FOR_BEST = 2
ENOUGH_FOR_SECOND = 3  # the second of two is the worst

Mark = Literal["best", "second"]
Place = tuple[int, int, int]  # panel, column, row


@dataclass(frozen=True, kw_only=True)
class Claim:
    """That a number is best, or second best."""

    place: Place
    mark: Mark
    p: float  # the largest of its comparisons: it claims all of them


def printed_marks(column: Column, cells: Sequence[TableCell]) -> dict[int, Mark]:
    """By row; equal numbers, as they are shown, share a mark.

    Without a printed number of real images none is marked that is best where it is theirs.
    """
    found: dict[int, Mark] = {}
    for members in comparable_rows(column, cells) if column.arrow else ():
        shown = {i: round(cells[i].value or 0.0, column.decimals) for i in members}
        order = sorted(set(shown.values()), reverse=not column.lower_is_better)
        for index, value in shown.items():
            if len(order) >= ENOUGH_FOR_BEST and value == order[0]:
                found[index] = "best"
            elif len(members) >= ENOUGH_FOR_SECOND and len(order) > 2 and value == order[1]:
                found[index] = "second"
    return found


def comparable_rows(column: Column, cells: Sequence[TableCell]) -> list[list[int]]:
    """Rows whose numbers compare with each other; none where the column has no better side."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        if cell.value is not None and cell.comparable and (column.arrow or column.like_real):
            groups[cell.like].append(index)
    return list(groups.values())


def runs_of(cell: TableCell) -> Runs:
    """The value of each run of a cell by its place on the axes of chance."""
    return dict(zip(cell.chances, cell.values, strict=True))


def compared_runs(
    column: Column, cells: Mapping[int, TableCell], real: TableCell | None
) -> dict[int, Runs]:
    """By row, what is compared: the values, or their distances to those of real images."""
    runs = {i: runs_of(cell) for i, cell in cells.items()}
    if not column.like_real:
        return runs
    if real is None or not real.values:
        return {}
    return {i: distances(own, runs_of(real)) for i, own in runs.items()}


def p_of_order(better: Runs, worse: Runs, *, lower: bool) -> float | None:
    """Of a paired test over sets of shots; None where there are fewer than two.

    Runs that both have may order the two the other way round: then there is no evidence, p = 1.
    """
    units = paired_units(better, worse)
    if units is None or units.axis != "subset":
        return None
    right = units.mean < 0 if lower else units.mean > 0
    return estimate(units.values, units.mean).p if right else 1.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """Rows of a column of ours whose numbers compare, the best first."""

    rows: tuple[int, ...]
    runs: Mapping[int, Runs]  # what is compared, by row
    lower: bool  # whether lower is better

    def p(self, better: int, worse: int) -> float | None:
        """Of one row being better than another; None where no two sets of shots are shared."""
        return p_of_order(self.runs[better], self.runs[worse], lower=self.lower)

    def p_below(self, place: int) -> list[float | None]:
        """Of the row at a place, from 0, being better than each of those below it."""
        return [self.p(self.rows[place], other) for other in self.rows[place + 1 :]]


def orders(panel: Panel, number: int) -> Iterable[Order]:
    """The orders of a column; rows that are not ranked are left out."""
    column = panel.columns[number]
    cells = [row.cells[number] for row in panel.rows]
    ranked = [c if row.ranked else TableCell() for c, row in zip(cells, panel.rows, strict=True)]
    real = next(
        (c for c, row in zip(cells, panel.rows, strict=True) if row.harness_method == REAL), None
    )
    for members in comparable_rows(column, ranked):
        found = compared_runs(column, {i: cells[i] for i in members}, real)
        lower = column.lower_is_better or column.like_real
        means = {i: units_of(runs).mean for i, runs in found.items()}
        order = sorted(means, key=lambda i: means[i] if lower else -means[i])
        yield Order(rows=tuple(order), runs=found, lower=lower)


def own_claims(panel: Panel, place: tuple[int, int]) -> Iterable[Claim]:
    """What the order of a column of ours claims, with the chance of each claim.

    The best claims to be better than every other row. The second best claims this of the best, and
    of itself that it is better than the rows below it. A best number that cannot be compared with
    every other row is a claim that cannot hold; it counts where a comparison is possible at all.
    """
    for order in orders(panel, place[1]):
        tests = order.p_below(0)
        best = largest(tests)
        if best is not None:
            yield Claim(place=(*place, order.rows[0]), mark="best", p=best)
            second = largest(order.p_below(1))
            if second is not None and len(order.rows) >= ENOUGH_FOR_SECOND:
                yield Claim(place=(*place, order.rows[1]), mark="second", p=max(best, second))
        elif any(p is not None for p in tests):
            yield Claim(place=(*place, order.rows[0]), mark="best", p=1.0)


def largest(tests: Sequence[float | None]) -> float | None:
    """The largest of some p-values; None where one is not known, or there are none."""
    known = [p for p in tests if p is not None]
    return max(known) if known and len(known) == len(tests) else None


@dataclass(frozen=True, kw_only=True)
class Held:
    """What Holm's correction leaves of the claims of all panels."""

    marks: Mapping[Place, Mark]
    level: float  # Holm's last: a claim that does not hold has a larger p-value


def held_claims(panels: Sequence[Panel]) -> Held:
    """The marks of numbers of ours.

    The test of a claim is the weakest of its comparisons, so only one for each claim counts in
    Holm's correction.
    """
    claims = {
        claim.place: claim
        for i, panel in enumerate(panels)
        for j, column in enumerate(panel.columns)
        if column.kind != "paper"
        for claim in own_claims(panel, (i, j))
    }
    adjusted = holm({place: claim.p for place, claim in claims.items()})
    marks = {place: claims[place].mark for place, p in adjusted.items() if p <= RISK}
    return Held(marks=marks, level=RISK / max(len(claims) - len(marks), 1))


def shown_marks(panels: Sequence[Panel]) -> dict[Place, Mark]:
    """The marks of printed numbers; rows that are not ranked have none."""
    marks: dict[Place, Mark] = {}
    for i, panel in enumerate(panels):
        for j, column in enumerate(panel.columns):
            if column.kind == "paper":
                ranked = [
                    row.cells[j] if row.ranked else TableCell(gap="absent") for row in panel.rows
                ]
                marks |= {(i, j, k): mark for k, mark in printed_marks(column, ranked).items()}
    return marks


def with_marks(panels: Sequence[Panel], held: Held | None = None) -> list[Panel]:
    """A table's panels with best and second best marked; rows that are not ranked stay as they are.

    Args:
        panels: of the table.
        held: their `held_claims`, where these are known.
    """
    own = held_claims(panels) if held is None else held
    marks = {**shown_marks(panels), **own.marks}
    return [
        replace(
            panel,
            rows=tuple(
                replace(
                    row,
                    cells=tuple(
                        replace(cell, mark=marks[i, j, k]) if (i, j, k) in marks else cell
                        for j, cell in enumerate(row.cells)
                    ),
                )
                for k, row in enumerate(panel.rows)
            ),
        )
        for i, panel in enumerate(panels)
    ]
