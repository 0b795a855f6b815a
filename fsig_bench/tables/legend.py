"""Sentences below a table: how to read it, and what its numbers were scored with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fsig_bench.published import Names
from fsig_bench.report import Record
from fsig_bench.tables.model import Cell, Panel
from fsig_bench.tables.spec import TableSpec


def scored(records: Sequence[Record]) -> str:
    """Protocol, its hash, samples and features of records that share a setting."""
    first = records[0]
    features = {m["extractor"] for r in records for m in r["metrics"].values() if "extractor" in m}
    return (
        f"{first['protocol']} ({first['protocol_hash']}, {first['num_images']} images, "
        f"features {', '.join(sorted(features))})"
    )


def families(cells: Sequence[Cell], names: Names) -> str:
    """What the families are that occur."""
    there = sorted({c.like for c in cells})
    words = "; ".join(f"{f}: {names.families[f].meaning}" for f in there)
    only = "All printed numbers are of one family" if len(there) == 1 else "Families"
    return f"{only} ({words})."


def legend(
    spec: TableSpec,
    panels: Sequence[Panel],
    chosen: Mapping[tuple[str, int], Sequence[Record]],
    names: Names,
) -> list[str]:
    """The sentences that this table needs, and no others."""
    pairs = [
        (column, cell)
        for panel in panels
        for row in panel.rows
        for column, cell in zip(panel.columns, row.cells, strict=True)
    ]
    printed = [c for col, c in pairs if col.kind == "paper" and c.value is not None]
    gaps = {c.gap for _, c in pairs}
    kinds = {col.kind for col, _ in pairs}
    out = []
    if "rerun" in kinds or (printed and "ours" in kinds):
        protocols = {k: sorted({c.protocol for c, _ in pairs if c.kind == k}) for k in kinds}
        words = ["printed: as the paper has it"]
        if "rerun" in kinds:
            words.append(f"re-run: ours under its protocol ({', '.join(protocols['rerun'])})")
        if "ours" in kinds:
            words.append(f"ours: under protocol {', '.join(protocols['ours'])}")
        out.append(f"Columns: {'; '.join(words)}.")
    if any(c.mark for _, c in pairs):
        like = "the same family" if printed else "the same protocol"
        who = "" if all(r.ranked for p in panels for r in p.rows) else " Controls are not ranked."
        out.append(
            f"Best is bold from two numbers up, second best underlined from three, by column and "
            f"only among numbers of {like}.{who}"
        )
    if printed:
        out.append(families(printed, names))
        if any(c.std is not None for c in printed):
            out.append("± of printed numbers: as printed, not over seeds.")
    if any(c.runs for _, c in pairs):
        out.append("Ours: mean ± standard deviation, in brackets the number of runs.")
        used = [records for _, records in sorted(chosen.items()) if records]
        out.append(f"Scored with {'; '.join(scored(r) for r in used)}.")
    if "unprinted" in gaps:
        out.append("A dash: the paper prints no number there, or none that was verified.")
    if "absent" in gaps:
        out.append("Empty: the harness has no such method.")
    if spec.suite == "mini":
        out.append("Numbers of the mini suite compare with nothing published.")
    return out
