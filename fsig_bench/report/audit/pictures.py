"""A picture of each fault: fresh images, and the same set at every strength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.report.audit.sets import Dial, planted
from fsig_bench.runner.cell import Cell


def write_pictures(cell: Cell, dials: Sequence[Dial], folder: Path) -> list[Path]:
    """Writes FOLDER/audit_FAULT.png, the first images of each set, a row for each strength."""
    from fsig_bench.pictures.grid import labelled_rows

    made = []
    for dial in dials:
        sets = [(f"{s:g}", planted(cell, dial, s)) for s in (0.0, *dial.strengths)]
        rows = [(label, images[: dial.columns]) for label, images in sets]
        path = folder / f"audit_{dial.name}.png"
        scale = 2 if dial.columns <= 10 else 1
        labelled_rows(path, rows, title=dial.heading, scale=scale, labels=60)
        made.append(path)
    return made
