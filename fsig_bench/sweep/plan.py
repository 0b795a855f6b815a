"""What the runs of a command will cost, estimated from the records of earlier runs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fsig_bench.api.plain import JsonDict
from fsig_bench.runner.cell import Cell
from fsig_bench.store.index import entries


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run that a command asks for."""

    suite: str
    method: str
    dataset: str
    k: int
    seed: int
    draw: int
    num_images: int
    folder: str  # below the results folder

    @classmethod
    def of(cls, cell: Cell) -> PlannedRun:
        """The run of a cell."""
        return cls(
            suite=cell.suite.name,
            method=cell.method.name,
            dataset=cell.dataset.name,
            k=cell.shots.k,
            seed=cell.seed,
            draw=cell.draw,
            num_images=cell.samples.num_images,
            folder=cell.folder,
        )

    def __str__(self) -> str:
        draw = f" draw={self.draw}" if self.draw else ""
        return (
            f"{self.method} on {self.dataset}, k={self.k} seed={self.seed}{draw}, "
            f"{self.num_images} images"
        )

    def as_json(self) -> JsonDict:
        """The fields as JSON values."""
        return asdict(self)


def known_costs(runs: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """(suite, method) -> median seconds to adapt, median seconds to draw and score one image."""
    spent: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for record in (entry.record for entry in entries(runs, short=True)):
        if record is not None:  # `runs` names a damaged one
            timing, count = record["timing_s"], record["num_images"]
            per_image = (timing["sample"] + timing["score"]) / count
            spent[record["suite"], record["method"]].append((timing["adapt"], per_image))
    return {
        key: (statistics.median(a for a, _ in v), statistics.median(b for _, b in v))
        for key, v in spent.items()
    }


def plan_lines(runs: Sequence[tuple[PlannedRun, bool]], root: Path) -> list[str]:
    """What `dry_run=true` prints: a line on each run and its cost, then the sum.

    Args:
        runs: each with whether it is done.
        root: the results folder.
    """
    from fsig_bench.console import duration

    costs, total, unknown = known_costs(root / "runs"), 0.0, 0
    lines = []
    for run, done in runs:
        state = "done"
        if not done and (found := costs.get((run.suite, run.method))):
            seconds = found[0] + found[1] * run.num_images
            total += seconds
            state = f"to do, about {duration(seconds)}"
        elif not done:
            unknown += 1
            state = "to do, cost not known yet"
        lines.append(f"{run}: {state}")
    todo = sum(not done for _, done in runs)
    total_line = f"{len(runs)} runs: {len(runs) - todo} done, {todo} to do, about {duration(total)}"
    if unknown:
        total_line += f" and {unknown} of unknown cost"
    return [*lines, f"{total_line} (medians of the records in {root})"]
