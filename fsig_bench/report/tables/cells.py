"""From records and printed rows to single cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.inference.units import chance_of, mean_by_chance, units_of
from fsig_bench.report.published import Names, Published
from fsig_bench.report.tables.choose import method_changes
from fsig_bench.report.tables.model import Column, TableCell
from fsig_bench.store.records import draw_of


def replicate(record: Record) -> str:
    """Seed, with the shot subset where it is not the canonical one, and the draw seed if another.

    "3", "3/1" for subset 1, "3/1/5" for draw seed 5.
    """
    seed, subset, draw = record["seed"], record.get("subset", 0), draw_of(record)
    if draw != seed:
        return f"{seed}/{subset}/{draw}"
    return f"{seed}/{subset}" if subset else str(seed)


def cell_of(
    records: Sequence[Record],
    column: Column,
    remarks: Sequence[str] = (),
    *,
    factor: float | None = None,
) -> TableCell:
    """Mean and spread of runs that share a row; a gap with its reason where none has a value.

    Args:
        records: at least one.
        column: the column that the cell stands in.
        remarks: on these runs.
        factor: of the metric's card; None looks for it in the records.
    """
    found = [r["metrics"].get(column.harness_metric, {}) for r in records]
    pairs = [
        (m["value"], r) for m, r in zip(found, records, strict=True) if m.get("value") is not None
    ]
    if not pairs:
        reasons = sorted({m["reason"] for m in found if m.get("reason")})
        why = "; ".join(reasons) or f"protocol {column.protocol} does not score this metric"
        return TableCell(gap="reason", why=why)
    if factor is None:
        factor = metric_card(column.harness_metric, records).factor
    values = tuple(value * factor for value, _ in pairs)
    if len(pairs) < len(records):
        lacking = f"{len(records) - len(pairs)} of {len(records)} runs have no value"
        remarks = (*remarks, lacking)
    there = tuple(r for _, r in pairs)
    units = units_of(mean_by_chance(zip(there, values, strict=True)))
    return TableCell(
        value=units.mean,
        std=units.std,
        units=units,
        values=values,
        chances=tuple(map(chance_of, there)),
        runs=tuple(r["run_id"] for r in there),
        seeds=tuple(map(replicate, there)),
        like=records[0].get("protocol_hash", ""),
        remarks=tuple(remarks),
    )


def explained_cell(records: Sequence[Record], column: Column) -> TableCell:
    """As `cell_of`, with a remark on settings that differ from the committed ones.

    Args:
        records: at least one, of one method, target and setting, run in one way.
        column: the column that the cell stands in.
    """
    remarks = []
    if changed := method_changes(records[0]):
        remarks.append(f"not with the committed settings: {'; '.join(changed)}")
    return cell_of(records, column, remarks)


def printed_cell(rows: Sequence[Published], names: Names) -> TableCell:
    """The number that a paper prints, or the gap where it prints none.

    Raises:
        ValueError: more than one row answers; the specification has to say which.
    """
    if not rows:
        return TableCell(
            gap="unprinted", why="the paper prints no number, or none that was verified"
        )
    if len(rows) > 1:
        found = ", ".join(f"{r.value} ({r.source_domain}, {r.family})" for r in rows)
        raise ValueError(
            f"{rows[0].paper}, {rows[0].table}: {len(rows)} numbers for {rows[0].method} on "
            f"{rows[0].target_domain}, {rows[0].metric}, {rows[0].shots} shots: {found}; "
            "give the column a table of its own"
        )
    row = rows[0]
    return TableCell(
        value=row.value,
        std=row.std,
        like=row.family,
        comparable=names.families[row.family].comparable,
        remarks=(f"elsewhere: {row.discrepancy}",) if row.discrepancy else (),
        source=f"{row.paper}, {row.table} ({row.provenance})",
    )


def beside_printed(own: TableCell, column: Column, printed: TableCell, names: Names) -> TableCell:
    """A re-run number, with a remark where the printed one was scored by other rules.

    Args:
        own: the re-run cell.
        column: that it stands in.
        printed: the cell to its left.
        names: what the families of printed numbers are.
    """
    if own.value is None or printed.value is None:
        return own
    otherwise = names.scored_otherwise(printed.like, column.protocol)
    if not otherwise:
        return own
    remark = (
        f"the printed number was {otherwise}, this one as {column.protocol}: not to be compared"
    )
    return replace(own, remarks=(*own.remarks, remark))
