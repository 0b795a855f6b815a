"""The command that fills each missing cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fsig_bench.report.tables.model import Column, Panel, Row, TableCell
from fsig_bench.report.tables.spec import TableSpec

Targets = tuple[str, ...]


def command(spec: TableSpec, method: str, targets: Targets, protocol: str, k: Sequence[int]) -> str:
    """The command line that fills cells; finished runs among them cost nothing."""
    experiment = spec.experiments.get(method)
    head = f"experiment={experiment} " if experiment else ""
    return (
        f"python -m fsig_bench -m {head}suite={spec.suite} method={method} "
        f"dataset={commas(targets)} "
        f"protocol={protocol} k={commas(k)} num_images={spec.num_images} "
        f"{spec.axis}={commas(spec.seeds)}"
    )


def commas(values: Iterable[object]) -> str:
    """Values as a sweep takes them."""
    return ",".join(map(str, values))


def with_commands(panels: Sequence[Panel], spec: TableSpec) -> list[Panel]:
    """The panels, each missing run with its command.

    One command fills all targets that a method lacks under a protocol, and all numbers of shots for
    which it lacks the same ones, so that it runs nothing that the table does not show.
    """
    lacking: dict[tuple[str, str], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for panel in panels:
        for row in panel.rows:
            for column, cell in zip(panel.columns, row.cells, strict=True):
                there = lacking[row.harness_method, column.protocol][column.shots]
                if cell.gap == "run" and column.dataset not in there:
                    there.append(column.dataset)

    def filled(row: Row, column: Column, cell: TableCell) -> TableCell:
        if cell.gap != "run":
            return cell
        by_shots = lacking[row.harness_method, column.protocol]
        targets = by_shots[column.shots]
        alike = [k for k, others in by_shots.items() if set(others) == set(targets)]
        text = command(spec, row.harness_method, tuple(targets), column.protocol, alike)
        return replace(cell, why=text)

    def row_filled(panel: Panel, row: Row) -> Row:
        pairs = zip(panel.columns, row.cells, strict=True)
        return replace(row, cells=tuple(filled(row, column, cell) for column, cell in pairs))

    return [replace(p, rows=tuple(row_filled(p, row) for row in p.rows)) for p in panels]
