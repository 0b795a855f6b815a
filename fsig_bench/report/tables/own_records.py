"""Tables of our own records: methods and controls down, targets across, a panel for each metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import (
    added_metrics,
    committed_cards,
    metric_card,
    metric_names,
)
from fsig_bench.report.records import KINDS, label_with_start
from fsig_bench.report.tables.cells import cell_of
from fsig_bench.report.tables.choose import commonest_by_place
from fsig_bench.report.tables.model import Column, Panel, Row, TableCell
from fsig_bench.report.tables.spec import TableSpec
from fsig_bench.report.variants import variant_labels


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


def own_columns(
    metric: str, targets: Sequence[str], records: Sequence[Record], *, shots: int, protocol: str
) -> list[Column]:
    """One column for each target; all show as many digits as the largest value needs."""
    card = metric_card(metric, records)
    found = (r["metrics"].get(metric, {}).get("value") for r in records)
    decimals = card.decimals_for(v * card.factor for v in found if v is not None)
    return [
        Column(
            kind="ours",
            domain=target,
            dataset=target,
            metric=card.heading,
            harness_metric=metric,
            heading=target,
            arrow=card.arrow,
            decimals=decimals,
            shots=shots,
            protocol=protocol,
            like_real=card.better == "like_real",
        )
        for target in targets
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
        return label_with_start(card)

    names = sorted({*cards, *spec.methods}, key=place)
    return [(name, label(name), place(name)[0] == KINDS["method"]) for name in names]


def own_panels(spec: TableSpec, records: Sequence[Record]) -> tuple[list[Panel], list[str]]:
    """All panels, and sentences on runs that were left out; commands and marks come later.

    Raises:
        ValueError: the table names no protocol, or a metric that there is not.
    """
    if not spec.ours:
        raise ValueError(f"table {spec.name}: source.ours has to name a protocol")
    panels, sentences = [], []
    by_place = commonest_by_place(records)
    order = row_order(spec, records)
    for metric in own_metrics(spec, records):
        columns = own_columns(metric, spec.targets, records, shots=spec.shots, protocol=spec.ours)
        factor = metric_card(metric, records).factor
        rows = []
        for name, label, ranked in order:
            cells = []
            for column in columns:
                own, left_out = by_place.get((name, column.dataset), ([], []))
                cell = cell_of(own, column, factor=factor) if own else TableCell(gap="run")
                cells.append(cell)
                sentences += left_out
            rows.append(Row(label=label, harness_method=name, cells=tuple(cells), ranked=ranked))
        title = metric_card(metric, records).title
        panels.append(Panel(title=title, columns=tuple(columns), rows=tuple(rows)))
    return panels, sentences


def metric_panel(
    metric: str, records: Sequence[Record], labels: Sequence[str] | None = None
) -> Panel:
    """One metric of any records: targets across; each method under each of its settings is a row.

    Args:
        metric: a name that records hold.
        records: of one suite, protocol, number of shots and of samples.
        labels: their `variant_labels`, where they are known.
    """
    labels = variant_labels(records) if labels is None else labels
    first, targets = records[0], sorted({r["dataset"] for r in records})
    columns = own_columns(metric, targets, records, shots=first["k"], protocol=first["protocol"])
    factor = metric_card(metric, records).factor
    groups: dict[tuple[int, str, str], list[Record]] = defaultdict(list)
    for record, differs in zip(records, labels, strict=True):
        kind = record["config"]["method"]["card"]["kind"]
        groups[KINDS[kind], record["method"], differs].append(record)
    rows = []
    for kind, method, differs in sorted(groups):
        group = groups[kind, method, differs]
        by_target = {t: [r for r in group if r["dataset"] == t] for t in targets}
        label = label_with_start(group[-1]["config"]["method"]["card"])
        rows.append(
            Row(
                label=f"{label} [{differs}]" if differs else label,
                harness_method=method,
                cells=tuple(
                    cell_of(own, column, factor=factor)
                    if (own := by_target[column.dataset])
                    else TableCell(gap="run")
                    for column in columns
                ),
                ranked=kind == KINDS["method"],
            )
        )
    title = metric_card(metric, records).title
    return Panel(title=title, columns=tuple(columns), rows=tuple(rows))
