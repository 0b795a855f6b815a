"""What the runs of a command will cost, estimated from the records of earlier runs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fsig_bench.api.places import CHECKOUT
from fsig_bench.api.plain import JsonDict
from fsig_bench.runner.cell import Cell
from fsig_bench.store.index import entries

COMMITTED = CHECKOUT / "results" / "reference" if CHECKOUT else None  # not in a wheel


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
    subset: int = 0
    state: str = ""  # the key of what adapting makes; runs with the same one adapt once
    samples: str = ""  # the key of the samples

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
            subset=cell.shots.subset,
            state=cell.adapt_key,
            samples=cell.sample_key,
        )

    def __str__(self) -> str:
        draw = f" draw={self.draw}" if self.draw else ""
        subset = f" subset={self.subset}" if self.subset else ""
        return (
            f"{self.method} on {self.dataset}, k={self.k}{subset} seed={self.seed}{draw}, "
            f"{self.num_images} images"
        )

    def as_json(self) -> JsonDict:
        """The fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds that the stages of a run take."""

    adapt: float
    sample: float  # an image
    score: float  # an image

    def seconds(self, run: PlannedRun, *, adapts: bool, samples: bool) -> float:
        """Of a run, whose state or samples another run may make."""
        images = self.score + (self.sample if samples else 0.0)
        return (self.adapt if adapts else 0.0) + images * run.num_images


def known_costs(runs: Path) -> dict[tuple[str, str], Cost]:
    """(suite, method) -> medians over the records below a folder."""
    spent: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for record in (entry.record for entry in entries(runs, short=True)):
        if record is not None:  # `runs` names a damaged one
            timing, count = record["timing_s"], record["num_images"]
            stages = timing["adapt"], timing["sample"] / count, timing["score"] / count
            spent[record["suite"], record["method"]].append(stages)
    return {
        key: Cost(
            adapt=statistics.median(a for a, _, _ in v),
            sample=statistics.median(b for _, b, _ in v),
            score=statistics.median(c for _, _, c in v),
        )
        for key, v in spent.items()
    }


def plan_lines(runs: Sequence[tuple[PlannedRun, bool]], root: Path) -> list[str]:
    """What `dry_run=true` prints: a line on each run and its cost, then the sum.

    A state or samples that an earlier run of the plan makes cost nothing again. Methods without a
    record of their own are taken to cost what the committed records say.

    Args:
        runs: each with whether it is done.
        root: the results folder.
    """
    from fsig_bench.console import duration

    own = known_costs(root / "runs")
    committed = known_costs(COMMITTED) if COMMITTED and COMMITTED.is_dir() else {}
    made = {key for run, done in runs if done for key in (run.state, run.samples)} - {""}
    total, unknown, foreign = 0.0, 0, False
    lines = []
    for run, done in runs:
        place, state = (run.suite, run.method), "done"
        if not done and (cost := own.get(place) or committed.get(place)):
            adapts, samples = run.state not in made, run.samples not in made
            seconds = cost.seconds(run, adapts=adapts, samples=samples)
            total, foreign = total + seconds, foreign or place not in own
            state = f"to do, about {duration(seconds)}"
        elif not done:
            unknown += 1
            state = "to do, cost not known yet"
        made |= {run.state, run.samples} - {""}
        lines.append(f"{run}: {state}")
    todo = sum(not done for _, done in runs)
    total_line = f"{len(runs)} runs: {len(runs) - todo} done, {todo} to do, about {duration(total)}"
    if unknown:
        total_line += f" and {unknown} of unknown cost"
    source = f"medians of the records in {root}"
    if foreign:
        source += ", for methods without one there of the committed ones, made on another machine"
    return [*lines, f"{total_line} ({source})"]
