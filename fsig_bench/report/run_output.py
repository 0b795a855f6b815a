"""What the run command prints at the end: of one run, of a cell of a sweep, of a whole sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.api.plain import Record
from fsig_bench.console import console, printable
from fsig_bench.report import printed, terminal
from fsig_bench.report.matrix import matrices
from fsig_bench.store.records import read_record


def print_results(records: Sequence[Record], folder: Path) -> None:
    """The table, its warnings, the published numbers for this cell, and where the pictures are."""
    console.print(terminal.terminal_table(records))
    notes = [*terminal.warnings(records), *terminal.missing_reasons(records)]
    for line in [*notes, *terminal.distances_that_prefer_copies(records)]:
        console.print(line, style="dim")
    for line in printed.published_lines(records[0]):
        console.print(line)
    console.print(f"pictures and record: {folder}")
    for picture in ("samples", "nearest", "tsne", "reconstruction"):
        if (folder / f"{picture}.png").exists():
            console.print(f"  {folder / f'{picture}.png'}")


def print_line(record: Record, *, title: str, seconds: float) -> str:
    """Prints and returns the line on a finished cell of a sweep, and any warning below it."""
    line = terminal.finished_line(record, title, seconds)
    console.print(line)
    for warning in terminal.warnings([record]):
        console.print(warning, style="dim")
    return line


def print_summary(paths: Sequence[Path]) -> None:
    """Prints the matrices of a sweep: methods down, datasets across.

    Args:
        paths: the records of all its finished cells and their controls.
    """
    records = []
    for path in paths:
        try:
            records.append(read_record(path))
        except (ValueError, OSError) as error:
            console.print(f"left out of the summary: {printable(str(error))}")
    for matrix in matrices(records):
        console.print()
        console.print(matrix.rich_table() if console.is_terminal else matrix.text())
