"""Which numbers of a page are marked: those that are best, and those of an order that is open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from fsig_bench.api.plain import Record
from fsig_bench.report.tables.marks import ENOUGH_FOR_BEST, held_claims, orders, with_marks
from fsig_bench.report.tables.model import Panel
from fsig_bench.report.tables.own_records import metric_panel
from fsig_bench.report.variants import variant_labels

Mark = Literal["best", "second", "open"]
Marks = Mapping[tuple[str, str], Mark]  # (metric, run id) -> the mark of the number it is part of

HOW = (
    "Bold: the best of its column, and different from every other beyond chance (paired t tests "
    "on equal shots, seed and draw, with the set of shots as the unit; Holm's correction over all "
    "metrics and targets of the setting, 5 %). Underlined: second best, below a bold number and "
    "different from every other of its column likewise. Where no number of a column is bold, ≈ "
    "marks the leading one and all that cannot be told apart from it: by the same tests at the "
    "level that Holm's correction leaves, divided by the number of pairs in the column. A number "
    "that shares fewer than two sets of shots with the leading one cannot be told apart from it."
)


def marks_of(records: Sequence[Record], metrics: Sequence[str]) -> Marks:
    """The marks of the records of one setting."""
    labels = variant_labels(records)
    plain = [metric_panel(name, records, labels) for name in metrics]
    held = held_claims(plain)
    panels = with_marks(plain, held)
    found: dict[tuple[str, str], Mark] = {}
    for name, panel in zip(metrics, panels, strict=True):
        for number in range(len(panel.columns)):
            for row in undecided_rows(panel, number, held.level):
                found |= {(name, run): "open" for run in panel.rows[row].cells[number].runs}
        for line in panel.rows:
            for cell in line.cells:
                if cell.mark:
                    found |= {(name, run): cell.mark for run in cell.runs}
    return found


def undecided_rows(panel: Panel, number: int, level: float) -> list[int]:
    """The first row of a column without a best one, and those that no test tells from it.

    Which row is the first is seen in the same data, so a test counts once for each pair of rows.
    The weakest comparison of a first row that is not the best has a p-value above `level`:
    the first row is never undecided alone.

    Args:
        panel: with its marks.
        number: of the column.
        level: Holm's last, of the correction that the marks come from.
    """
    out = []
    for order in orders(panel, number):
        if len(order.rows) < ENOUGH_FOR_BEST:
            continue
        first, *others = order.rows
        if panel.rows[first].cells[number].mark == "best":
            continue
        pairs = math.comb(len(order.rows), 2)
        tests = zip(others, order.p_below(0), strict=True)
        out += [first, *(row for row, p in tests if p is None or p * pairs > level)]
    return out
