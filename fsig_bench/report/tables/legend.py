"""Sentences below a table: how to read it, and what its numbers were scored with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fsig_bench.api.plain import Record
from fsig_bench.report.inference.sentences import spread_sentences
from fsig_bench.report.published import Names
from fsig_bench.report.tables.model import Column, Panel, TableCell
from fsig_bench.report.tables.spec import TableSpec
from fsig_bench.report.tables.verdicts import rerun_pairs


def scored(records: Sequence[Record]) -> str:
    """Protocol, its hash, samples and features of records that share a setting."""
    first = records[0]
    features = {m["extractor"] for r in records for m in r["metrics"].values() if "extractor" in m}
    return (
        f"{first['protocol']} ({first['protocol_hash']}, {first['num_images']} images, "
        f"features {', '.join(sorted(features))})"
    )


def families(cells: Sequence[TableCell], names: Names) -> list[str]:
    """What the families are that occur."""
    there = sorted({c.like for c in cells})
    words = [f"{f}: {names.families[f].meaning}" for f in there]
    if len(there) == 1:
        return [f"All printed numbers are of one family, {words[0]}."]
    unlike = "Printed numbers were scored unlike each other. Family "
    return [f"{unlike if i == 0 else 'Family '}{text}." for i, text in enumerate(words)]


def not_alike(panels: Sequence[Panel], names: Names) -> list[str]:
    """The families of printed numbers that were not scored as the re-run beside them."""
    return sorted(
        {
            printed.like
            for _, column, printed, own in rerun_pairs(panels)
            if printed.value is not None
            and own.gap != "absent"
            and names.scored_otherwise(printed.like, column.protocol)
        }
    )


def spreads(panels: Sequence[Panel]) -> list[str]:
    """What the ± of a table are, printed ones and ours: a part of its caption."""
    rows = [row for panel in panels for row in panel.rows]
    cells = [cell for row in rows for cell in row.cells]
    out = spread_sentences(cell.units for cell in cells if cell.units)
    if any(cell.std is not None and cell.units is None for cell in cells):
        out.append("Printed ±: as the source has it, probably over clusters, not over seeds.")
    return out


def marking(pairs: Sequence[tuple[Column, TableCell]]) -> str:
    """When a number of ours is marked."""
    own = [(column, cell) for column, cell in pairs if cell.units]
    if not any("subset" in cell.units.holds for _, cell in own if cell.units):
        return "Ours are not marked: a mark claims something of new shots, and no cell has several."
    text = (
        "Ours are marked only where, on the same shots, seed and draw, the number differs from "
        "every one that it is better than, and a second best also from the best: paired t tests "
        "with the set of shots as the unit, Holm's correction over this table, 5 %."
    )
    if any(column.like_real for column, _ in own):
        text += " Where the best value is that of real images, distances to `real` are compared."
    return text


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
    unlike = not_alike(panels, names)
    out = []
    if "rerun" in kinds or (printed and "ours" in kinds):
        protocols = {k: sorted({c.protocol for c, _ in pairs if c.kind == k}) for k in kinds}
        words = ["as printed"]
        if "rerun" in kinds:
            under = ", ".join(protocols["rerun"])
            whose = f"protocol {under}" if unlike else f"the paper's protocol ({under})"
            words.append(f"re-run here under {whose}")
        if "ours" in kinds:
            words.append(f"run here under protocol {', '.join(protocols['ours'])}")
        out.append(f"Columns of a target, from left to right: {'; '.join(words)}.")
    if unlike:
        out.append(
            f"Not to be compared with the re-run beside them: printed numbers of family "
            f"{', '.join(unlike)}. They were scored by other rules, or by rules that are not known."
        )
    if any(c.mark for _, c in pairs):
        like = "the same family" if printed else "the same protocol"
        who = (
            ""
            if all(r.ranked for p in panels for r in p.rows)
            else " Controls, in italics, are not ranked."
        )
        out.append(
            f"Bold: best of at least two; underlined: second best of at least three; by column, "
            f"and only among numbers of {like}.{who}"
        )
    if any(c.runs for _, c in pairs):
        out.append(marking(pairs))
    if printed:
        out += families(printed, names)
    if any(c.runs for _, c in pairs):
        out.append("Ours: mean, a ± that the caption explains, and in brackets the number of runs.")
        if any(0 < len(c.runs) < len(spec.seeds) for _, c in pairs):
            seeds = ",".join(map(str, spec.seeds))
            out.append(
                f"{len(spec.seeds)} runs are planned; where there are fewer, the cell's command "
                f"with {spec.axis}={seeds} runs the others (suite={spec.suite} method=... "
                f"dataset=... protocol=... k=... num_images={spec.num_images})."
            )
        used = [records for _, records in sorted(chosen.items()) if records]
        out.append(f"Scored with {'; '.join(scored(r) for r in used)}.")
    if "unprinted" in gaps:
        out.append("A dash: the paper prints no number there, or none that was verified.")
    if "absent" in gaps:
        out.append("Empty: the harness has no such method.")
    if spec.suite == "mini":
        out.append("Numbers of the mini suite compare with nothing published.")
    return out
