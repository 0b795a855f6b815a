"""The end of a sweep on the terminal: methods down, datasets across, two metrics, the spread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import key_metrics
from fsig_bench.report.inference.sentences import spread_sentences
from fsig_bench.report.records import comparable_setting
from fsig_bench.report.tables.markdown import grid, value_text
from fsig_bench.report.tables.model import Panel, TableCell
from fsig_bench.report.tables.own_records import metric_panel
from fsig_bench.store.records import draw_of


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One table: a panel for each metric, the same datasets across."""

    title: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]  # below the table

    @property
    def counts_differ(self) -> bool:
        """Whether some cells are the mean of more runs than others, so that each says of how many.

        Cells without a value do not count.
        """
        cells = [cell for panel in self.panels for row in panel.rows for cell in row.cells]
        return len({len(cell.runs) for cell in cells if not cell.gap}) > 1

    def cell_text(self, cell: TableCell, decimals: int) -> str:
        """Mean and standard deviation; a dash where there is no value."""
        if cell.gap:
            return "-"
        text = value_text(cell, decimals)
        return f"{text} ({len(cell.runs)})" if self.counts_differ else text

    def lines_of(self, panel: Panel) -> list[list[str]]:
        """The rows of a panel as text: the method, then a value for each dataset."""
        return [
            [
                row.label,
                *(
                    self.cell_text(cell, column.decimals)
                    for column, cell in zip(panel.columns, row.cells, strict=True)
                ),
            ]
            for row in panel.rows
        ]

    def text(self) -> str:
        """For a log: padded columns of plain text."""
        grids = [
            grid([p.title, *(c.heading for c in p.columns)], self.lines_of(p), 1)
            for p in self.panels
        ]
        return "\n\n".join([self.title, *grids, *(["\n".join(self.notes)] if self.notes else [])])

    def rich_table(self) -> Table:
        """For a terminal: a section for each metric."""
        table = Table(
            title=self.title,
            caption="\n".join(self.notes) or None,
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("", no_wrap=True)
        for column in self.panels[0].columns:
            table.add_column(column.heading, justify="right")
        for panel in self.panels:
            table.add_row(panel.title, style="bold")
            for line in self.lines_of(panel):
                table.add_row(f"  {line[0]}", *line[1:])
            table.add_section()
        return table


def spread_text(records: Sequence[Record]) -> str:
    """Over which seeds, subsets and draw seeds the values are averaged."""
    parts = []
    together = all(draw_of(record) in (0, record["seed"]) for record in records)
    for key in ("seed", "subset") if together else ("seed", "subset", "draw"):
        values = sorted({record.get(key, 0) for record in records})
        if len(values) > 1:
            parts.append(f"{key}s {', '.join(map(str, values))}")
        elif key == "seed" or values != [0]:
            parts.append(f"{key} {values[0]}")
    several = any("s " in part for part in parts)
    return f"{'mean over ' if several else ''}{' and '.join(parts)}"


def notes_on(panels: Sequence[Panel]) -> list[str]:
    """Why values are missing, and which are the mean of fewer runs; each once."""
    notes = []
    for panel in panels:
        for row in panel.rows:
            for column, cell in zip(panel.columns, row.cells, strict=True):
                texts = [cell.why] if cell.gap == "reason" else list(cell.remarks)
                notes += [f"{column.metric}, {row.label} on {column.domain}: {t}" for t in texts]
    return list(dict.fromkeys(notes))


def matrices(records: Sequence[Record]) -> list[Matrix]:
    """A matrix for each suite, protocol, number of shots and of samples; most sweeps have one.

    Args:
        records: of the cells of a sweep and of their controls, each once.
    """
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[comparable_setting(record)].append(record)
    found = []
    for key in sorted(groups):
        group, (suite, protocol, _, k, count) = groups[key], key
        panels = tuple(metric_panel(name, group) for name in key_metrics(group))
        title = (
            f"suite {suite}, protocol {protocol}, {k} shots, {count} images: {spread_text(group)}"
        )
        cells = (cell for panel in panels[:1] for row in panel.rows for cell in row.cells)
        notes = [*spread_sentences(c.units for c in cells if c.units), *notes_on(panels)]
        if suite == "mini":
            notes.append("Numbers of the mini suite compare with nothing published.")
        found.append(Matrix(title=title, panels=panels, notes=tuple(notes)))
    return found
