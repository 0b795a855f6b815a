"""Numbering of what stands below a table: commands get numbers, remarks and reasons letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fsig_bench.report.tables.model import Column, Row, Table, TableCell


@dataclass(frozen=True, kw_only=True)
class Footnotes:
    commands: tuple[str, ...]
    remarks: tuple[str, ...]

    def number(self, cell: TableCell) -> int:
        """Of the command that fills a gap, from 1."""
        return self.commands.index(cell.why) + 1

    def letters(self, cell: TableCell) -> list[str]:
        """Of all remarks on a cell: a, b, ... z, aa, ab, ..."""
        return [letter(self.remarks.index(text)) for text in cell_remarks(cell)]


def cell_remarks(cell: TableCell) -> tuple[str, ...]:
    """Remarks on a number, or the reason for a gap."""
    return (cell.why,) if cell.gap == "reason" else cell.remarks


def letter(index: int) -> str:
    """0 is a, 25 z, 26 aa."""
    high, low = divmod(index, 26)
    return (letter(high - 1) if high else "") + chr(ord("a") + low)


def footnotes(table: Table) -> Footnotes:
    """All of a table, each once, in the order of reading."""
    cells = [c for panel in table.panels for row in panel.rows for c in row.cells]

    def once(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(texts))

    return Footnotes(
        commands=once(c.why for c in cells if c.gap == "run"),
        remarks=once(text for c in cells for text in cell_remarks(c)),
    )


@dataclass(frozen=True, kw_only=True)
class Marks:
    """How a format writes what is not a plain number; `{}` is filled in."""

    dash: str
    command: str  # the number of the command that fills the cell
    raised: str  # a value with footnote marks: both are filled in
    escape: Callable[[str], str]  # of the marks' words


def cell_text(
    cell: TableCell, column: Column, row: Row, notes: Footnotes, *, value: str, marks: Marks
) -> str:
    """One cell; `value` is its number as the format writes it, "" where it has none."""
    if cell.gap in ("unprinted", "absent"):
        return {"unprinted": marks.dash, "absent": ""}[cell.gap]
    if cell.gap == "run":
        return marks.command.format(notes.number(cell))
    text = "n/a" if cell.gap else value
    raised = list(notes.letters(cell))
    if column.kind == "paper" and not column.family and cell.like != row.family:
        raised.insert(0, cell.like)
    return marks.raised.format(text, marks.escape(", ".join(raised))) if raised else text
