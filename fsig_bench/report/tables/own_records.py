"""Tables of our own records: methods and controls down, targets across, a panel for each metric."""

from __future__ import annotations

from collections.abc import Sequence

from fsig_bench.metrics.cards import (
    added_metrics,
    committed_cards,
    metric_card,
    metric_names,
)
from fsig_bench.report.records import KINDS, Record
from fsig_bench.report.tables.cells import measured
from fsig_bench.report.tables.model import Cell, Column, Panel, Row
from fsig_bench.report.tables.spec import TableSpec


def own_metrics(spec: TableSpec, records: Sequence[Record]) -> list[str]:
    """The metrics that the table asks for, and those that somebody added to the records.

    Raises:
        ValueError: a metric is neither in conf/metric nor in a record.
    """
    there = metric_names(records)
    for name in spec.own_metrics:
        if name not in committed_cards() and name not in there:
            raise ValueError(
                f"table {spec.name}: no record holds {name}; "
                f"choose from {', '.join(there or committed_cards())}"
            )
    return list(dict.fromkeys([*spec.own_metrics, *added_metrics(records)]))


def own_columns(metric: str, spec: TableSpec, records: Sequence[Record]) -> list[Column]:
    """One column for each target.

    Raises:
        ValueError: the table names no protocol.
    """
    if not spec.ours:
        raise ValueError(f"table {spec.name}: source.ours has to name a protocol")
    card = metric_card(metric, records)
    return [
        Column(
            kind="ours",
            domain=target,
            dataset=target,
            metric=card.heading,
            harness_metric=metric,
            heading=target,
            arrow=card.arrow,
            decimals=card.decimals,
            shots=spec.shots,
            protocol=spec.ours,
        )
        for target in spec.targets
    ]


def row_order(spec: TableSpec, records: Sequence[Record]) -> list[tuple[str, str, bool]]:
    """Name, label and whether it is ranked, of each row: methods before controls.

    Rows are the methods that the table asks for and any other that has records.
    """
    cards = {r["method"]: r["config"]["method"]["card"] for r in reversed(records)}
    first = {name: i for i, name in enumerate(spec.methods)}

    def place(name: str) -> tuple[int, int, str]:
        kind = cards[name]["kind"] if name in cards else "method"
        return KINDS[kind], first.get(name, len(first)), name

    def label(name: str) -> str:
        card = cards.get(name, {"label": name})
        return str(card["label"]) + (" (from scratch)" if card.get("from_scratch") else "")

    names = sorted({*cards, *spec.methods}, key=place)
    return [(name, label(name), place(name)[0] == KINDS["method"]) for name in names]


def own_panels(spec: TableSpec, records: Sequence[Record]) -> tuple[list[Panel], list[str]]:
    """All panels, and sentences on runs that were left out; commands and marks come later."""
    panels, sentences = [], []
    for metric in own_metrics(spec, records):
        columns, rows = own_columns(metric, spec, records), []
        for name, label, ranked in row_order(spec, records):
            cells = []
            for column in columns:
                own = [r for r in records if (r["method"], r["dataset"]) == (name, column.dataset)]
                cell, left_out = measured(own, column, explain=False)
                cells.append(cell or Cell(gap="run"))
                sentences += left_out
            rows.append(Row(label=label, harness_method=name, cells=tuple(cells), ranked=ranked))
        title = metric_card(metric, records).title
        panels.append(Panel(title=title, columns=tuple(columns), rows=tuple(rows)))
    return panels, sentences
