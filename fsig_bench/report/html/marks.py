"""Which numbers of a page are marked: those that are best, and those of an order that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from fsig_bench.api.plain import Record
from fsig_bench.report.inference.intervals import RISK
from fsig_bench.report.tables.marks import ENOUGH_FOR_BEST, orders, with_marks
from fsig_bench.report.tables.model import Panel
from fsig_bench.report.tables.own_records import metric_panel
from fsig_bench.report.variants import variant_labels

Mark = Literal["best", "second", "open"]
Marks = Mapping[tuple[str, str], Mark]  # (metric, run id) -> the mark of the number it is part of

HOW = (
    "Bold: the best of its column, and different from every other beyond chance (paired t tests "
    "on equal shots, seed and draw, with the set of shots as the unit; Holm's correction over all "
    "metrics and targets of the setting, 5 %). Underlined: second best, likewise. Where no number "
    "is clearly best, ≈ marks the leading one and all that cannot be told apart from it."
)


def marks_of(records: Sequence[Record], metrics: Sequence[str]) -> Marks:
    """The marks of the records of one setting."""
    labels = variant_labels(records)
    panels = with_marks([metric_panel(name, records, labels) for name in metrics])
    found: dict[tuple[str, str], Mark] = {}
    for name, panel in zip(metrics, panels, strict=True):
        for number in range(len(panel.columns)):
            for row in undecided_rows(panel, number):
                found |= {(name, run): "open" for run in panel.rows[row].cells[number].runs}
        for line in panel.rows:
            for cell in line.cells:
                if cell.mark:
                    found |= {(name, run): cell.mark for run in cell.runs}
    return found


def undecided_rows(panel: Panel, number: int) -> list[int]:
    """The first row of a column without a best one, and those that a test does not tell from it."""
    out = []
    for order in orders(panel, number):
        if len(order.rows) < ENOUGH_FOR_BEST:
            continue
        first, *others = order.rows
        if panel.rows[first].cells[number].mark == "best":
            continue
        tests = {other: order.p(first, other) for other in others}
        out += [first, *(row for row, p in tests.items() if p is not None and p > RISK)]
    return out
