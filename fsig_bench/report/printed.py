"""What papers print for the cell that has just run, with the protocol that it was scored under."""

from __future__ import annotations

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.published import Names, Published, load_names, load_published


def printed_line(row: Published, record: Record, names: Names) -> str:
    """One printed number, with the record's."""
    metric = row.harness_metric or ""
    value = record["metrics"].get(metric, {}).get("value")
    ours = "not computed" if value is None else metric_card(metric, [record]).text(value)
    alike = "the same protocol"
    if otherwise := names.scored_otherwise(row.family, record["protocol"]):
        alike = f"{otherwise}, this run as {record['protocol']}: not to be compared"
    also = f"; elsewhere {row.discrepancy}" if row.discrepancy else ""
    return (
        f"{row.metric}: {ours} here, {row.value:g} in {row.paper} {row.year}, {row.table} "
        f"({alike}{also})"
    )


def published_lines(record: Record) -> list[str]:
    """Lines for the terminal; none for the mini suite, whose numbers compare with nothing."""
    if record["suite"] != "paper":
        return []
    names = load_names()
    rows = [
        row
        for row in load_published()
        if (row.harness_method, row.dataset) == (record["method"], record["dataset"])
        and row.shots == record["k"]
        and row.harness_metric is not None
    ]
    return [printed_line(row, record, names) for row in rows]
