"""What a plan costs, from the records of earlier runs: wall seconds by suite and method."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fsig_bench.runner.cell import Cell
from fsig_bench.store.records import read_record


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One run that a command asks for."""

    suite: str
    method: str
    dataset: str
    k: int
    seed: int
    num_images: int
    folder: str  # below the results folder

    @classmethod
    def of(cls, cell: Cell) -> Planned:
        """From a cell."""
        return cls(
            suite=cell.suite.name,
            method=cell.method.name,
            dataset=cell.dataset.name,
            k=cell.shots.k,
            seed=cell.seed,
            num_images=cell.draws.num_images,
            folder=cell.folder,
        )

    def __str__(self) -> str:
        return (
            f"{self.method} on {self.dataset}, k={self.k} seed={self.seed}, "
            f"{self.num_images} images"
        )

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def known_costs(runs: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """(suite, method) -> median seconds to adapt, and to draw and score one image."""
    seen: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for path in runs.glob("*/*/*/*/record.json"):
        try:
            record = read_record(path)
            spent, count = record["timing_s"], record["num_images"]
            each = (spent["sample"] + spent["score"]) / count
            seen[record["suite"], record["method"]].append((spent["adapt"], each))
        except (ValueError, KeyError):
            continue  # `runs verify` names it
    return {
        key: (statistics.median(a for a, _ in v), statistics.median(b for _, b in v))
        for key, v in seen.items()
    }


def plan(runs: Sequence[tuple[Planned, bool]], root: Path) -> list[str]:
    """Lines for `dry_run=true`: every run, whether it is done, what it costs; then the sum."""
    from fsig_bench.console import duration

    costs, total, unknown = known_costs(root / "runs"), 0.0, 0
    lines = []
    for run, done in runs:
        words = "done"
        if not done and (found := costs.get((run.suite, run.method))):
            seconds = found[0] + found[1] * run.num_images
            total += seconds
            words = f"to do, about {duration(seconds)}"
        elif not done:
            unknown += 1
            words = "to do, cost not known yet"
        lines.append(f"{run}: {words}")
    todo = sum(not done for _, done in runs)
    said = f"{len(runs)} runs: {len(runs) - todo} done, {todo} to do, about {duration(total)}"
    if unknown:
        said += f" and {unknown} of unknown cost"
    return [*lines, f"{said} (medians of the records in {root})"]
