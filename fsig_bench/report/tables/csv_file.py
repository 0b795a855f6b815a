"""A table as CSV: one line for each number, with the runs that it comes from."""

from __future__ import annotations

import csv
import io

from fsig_bench.report.inference.intervals import estimate
from fsig_bench.report.tables.model import Column, Panel, Row, Table, TableCell

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with these a spreadsheet's formula begins
NUMBERS = ("shots", "value", "std", "low", "high", "units", "runs", "seeds", "values")
FIELDS = (
    *("table", "panel", "method", "harness_method", "domain", "dataset", "metric"),
    *(
        "harness_metric",
        "shots",
        "column",
        "protocol",
        "protocol_hash",
        "family",
        "value",
        "std",
        "low",
        "high",
        "units",
        "holds",
        "runs",
    ),
    *("seeds", "run_ids", "values", "mark", "remarks", "source"),
)


def line(
    table: Table, panel: Panel, row: Row, column: Column, cell: TableCell
) -> dict[str, object]:
    """One number at full precision; lists are separated by spaces, in the order of run_ids.

    `low` and `high` are the 95 % interval over `units`, which differ in the axes of `holds`.
    """
    units = cell.units
    interval = estimate(units.values, units.mean) if units else None
    low, high = (interval.low, interval.high) if interval else (None, None)
    found: dict[str, object] = {
        "table": table.name,
        "panel": panel.title,
        "method": row.label,
        "harness_method": row.harness_method,
        "domain": column.domain,
        "dataset": column.dataset,
        "metric": column.metric,
        "harness_metric": column.harness_metric,
        "shots": column.shots,
        "column": column.kind,
        "protocol": column.protocol,
        "protocol_hash": "" if column.kind == "paper" else cell.like,
        "family": cell.like if column.kind == "paper" else "",
        "value": repr(cell.value),
        "std": "" if cell.std is None else repr(cell.std),
        "low": "" if low is None else repr(low),
        "high": "" if high is None else repr(high),
        "units": units.count if units else "",
        "holds": " ".join(units.holds) if units else "",
        "runs": len(cell.runs) or "",
        "seeds": " ".join(cell.seeds),
        "run_ids": " ".join(cell.runs),
        "values": " ".join(map(repr, cell.values)),
        "mark": cell.mark,
        "remarks": "; ".join(cell.remarks),
        "source": cell.source,
    }
    return {k: v if k in NUMBERS else text_cell(str(v)) for k, v in found.items()}


def text_cell(text: str) -> str:
    """Text that a spreadsheet shows and never computes."""
    return f"'{text}" if text.startswith(FORMULA) else text


def render_csv(table: Table) -> str:
    """Every number of the table; gaps have no line."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    for panel in table.panels:
        for row in panel.rows:
            for column, cell in zip(panel.columns, row.cells, strict=True):
                if cell.value is not None:
                    writer.writerow(line(table, panel, row, column, cell))
    return out.getvalue()
