"""Best and second best of a column, among numbers that compare with each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from fsig_bench.report.tables.model import Column, Row, TableCell

ENOUGH_FOR_BEST = 2
ENOUGH_FOR_SECOND = 3  # the second of two is the worst


def column_marks(column: Column, cells: Sequence[TableCell]) -> list[TableCell]:
    """The cells with their marks; equal numbers, as they are shown, share one."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        if cell.value is not None and cell.comparable and column.arrow:
            groups[cell.like].append(index)
    out = list(cells)
    for members in groups.values():
        shown = {i: round(cells[i].value or 0.0, column.decimals) for i in members}
        order = sorted(set(shown.values()), reverse=not column.lower_is_better)
        for index, value in shown.items():
            if len(order) >= ENOUGH_FOR_BEST and value == order[0]:
                out[index] = replace(cells[index], mark="best")
            elif len(members) >= ENOUGH_FOR_SECOND and len(order) > 2 and value == order[1]:
                out[index] = replace(cells[index], mark="second")
    return out


def with_marks(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with best and second best marked; rows that are not ranked stay as they are."""
    ranked = [row for row in rows if row.ranked]
    by_column = [
        column_marks(column, [row.cells[j] for row in ranked]) for j, column in enumerate(columns)
    ]
    new = iter(
        replace(row, cells=tuple(cells[i] for cells in by_column)) for i, row in enumerate(ranked)
    )
    return tuple(next(new) if row.ranked else row for row in rows)
