"""Tables of our own records: methods and controls down, targets across, a panel for each metric."""

from __future__ import annotations

from collections.abc import Sequence

from fsig_bench.metrics.cards import COLUMNS
from fsig_bench.report.records import KINDS, Record
from fsig_bench.report.tables.cells import measured
from fsig_bench.report.tables.model import Cell, Column, Panel, Row
from fsig_bench.report.tables.spec import PanelSpec, TableSpec


def own_columns(panel: PanelSpec, spec: TableSpec) -> list[Column]:
    """One column for each target.

    Raises:
        ValueError: a metric is none that records hold, or a column names no protocol.
    """
    out = []
    for column in panel.columns:
        metric = spec.metrics[column.metric]
        if column.metric not in COLUMNS:
            raise ValueError(
                f"table {spec.name}: no record holds {column.metric}; "
                f"choose one of {', '.join(COLUMNS)}"
            )
        if not column.ours:
            raise ValueError(f"table {spec.name}: source.ours has to name a protocol")
        out.append(
            Column(
                kind="ours",
                domain=column.domain,
                dataset=column.domain,
                metric=metric.label,
                harness_metric=column.metric,
                heading=column.label or column.domain,
                arrow=metric.arrow,
                decimals=metric.decimals,
                shots=column.shots,
                protocol=column.ours,
            )
        )
    return out


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
    for panel in spec.panels:
        columns, rows = own_columns(panel, spec), []
        for name, label, ranked in row_order(spec, records):
            cells = []
            for column in columns:
                own = [r for r in records if (r["method"], r["dataset"]) == (name, column.dataset)]
                cell, left_out = measured(own, column, explain=False)
                cells.append(cell or Cell(gap="run"))
                sentences += left_out
            rows.append(Row(label=label, harness_method=name, cells=tuple(cells), ranked=ranked))
        title = f"{panel.title} {columns[0].arrow}".strip()
        panels.append(Panel(title=title, columns=tuple(columns), rows=tuple(rows)))
    return panels, sentences
