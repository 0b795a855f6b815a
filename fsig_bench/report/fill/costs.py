"""What runs cost, before they run: from records of this folder, else from counted operations.

conf/cost/paper.yaml holds the operations of every cell of the papers' tables; a command counts them
(`python -m tools.paper_costs`). Hours follow with the rates that are stated there, none of which
has been measured here.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from fsig_bench.api.places import CONF
from fsig_bench.console import duration
from fsig_bench.report.fill.plan import FillRun
from fsig_bench.report.tables.spec import TableSpec
from fsig_bench.store.index import entries

FILE = CONF / "cost" / "paper.yaml"
Spent = tuple[float, float]  # seconds of adapting, seconds of drawing and scoring one image


@dataclass(frozen=True, kw_only=True)
class Work:
    """Floating-point operations of one run, in units of 1e12, and the memory of its weights."""

    adapt: float
    image: float
    weights_gib: float  # as often as adapting holds them, float32

    def of(self, num_images: int) -> float:
        """Adapting and drawing."""
        return self.adapt + self.image * num_images


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The file of counted operations."""

    rates: Mapping[str, float]  # a device -> 1e12 operations a second at its stated peak
    share: float  # of the peak that is assumed
    work: Mapping[str, Work]  # by "method-shots", or "method-dataset-shots"

    def of(self, run: FillRun) -> Work | None:
        """What a run takes; None where it has not been counted."""
        own = self.work.get(f"{run.method}-{run.dataset}-{run.k}")
        return own or self.work.get(f"{run.method}-{run.k}")

    def hours(self, operations: float, device: str) -> float:
        """At the assumed share of a device's stated peak."""
        return operations / (self.rates[device] * self.share) / 3600


@cache
def read_costs(path: Path = FILE) -> Costs:
    """The committed file."""
    node = yaml.safe_load(path.read_text())
    work = {name: Work(**values) for name, values in node["work"].items()}
    return Costs(rates=node["rates"], share=node["share"], work=work)


def cheapest_first(runs: Sequence[FillRun], num_images: int) -> list[FillRun]:
    """Seed after seed, and within a seed by counted operations; uncounted ones come last."""

    def place(run: FillRun) -> tuple[int, float]:
        work = read_costs().of(run)
        return run.seed, math.inf if work is None else work.of(num_images)

    return sorted(runs, key=place)


def spent_before(results: Path, suite: str) -> dict[str, Spent]:
    """By method: what its runs in a results folder took, as medians."""
    found: dict[str, list[Spent]] = defaultdict(list)
    for entry in entries(results / "runs", short=True) if (results / "runs").is_dir() else ():
        if (record := entry.record) is not None and record["suite"] == suite:
            timing, count = record["timing_s"], record["num_images"]
            each = (timing["sample"] + timing["score"]) / count
            found[record["method"]].append((timing["adapt"], each))
    return {
        method: (statistics.median(a for a, _ in v), statistics.median(b for _, b in v))
        for method, v in found.items()
    }


def cost_lines(runs: Sequence[FillRun], spec: TableSpec, results: Path) -> list[str]:
    """What some runs take, a line for each method and one for all.

    Runs that differ in the protocol alone share their samples, so these count once.
    """
    costs, known = read_costs(), spent_before(results, spec.suite)
    by_method: dict[str, list[FillRun]] = defaultdict(list)
    for run in {run.samples: run for run in runs}.values():
        by_method[run.method].append(run)
    lines, operations, seconds, memory, unknown = [], 0.0, 0.0, 0.0, 0
    for method, own in by_method.items():
        name = f"{len(own)} sample sets of {method}"
        if method in known:
            adapt, each = known[method]
            spent = len(own) * (adapt + each * spec.num_images)
            seconds += spent
            lines.append(f"cost      {name}: {duration(spent)} (as its runs here took)")
            continue
        work = [costs.of(run) for run in own]
        counted = [w for w in work if w is not None]
        if len(counted) < len(own):
            unknown += len(own) - len(counted)
            lines.append(f"cost      {name}: not counted for {len(own) - len(counted)} of them")
            continue
        total = sum(w.of(spec.num_images) for w in counted)
        operations, memory = operations + total, max(memory, *(w.weights_gib for w in counted))
        hours = ", ".join(f"{costs.hours(total, d):.1f} h {d}" for d in costs.rates)
        lines.append(f"cost      {name}: {total / 1000:,.0f} PFLOP; {hours}")
    parts = [duration(seconds)] if seconds else []
    if operations:
        parts.append(" or ".join(f"{costs.hours(operations, d):.1f} h {d}" for d in costs.rates))
    more = f", and {unknown} sample sets of unknown cost" if unknown else ""
    lines.append(f"in all    {' and '.join(parts) or 'unknown'}{more}; scoring comes on top")
    if operations:
        lines.append(
            f"          operations counted at the papers' settings, at {costs.share:.0%} of the "
            "stated peaks: not measured"
        )
        lines.append(
            f"memory    weights alone up to {memory:.1f} GiB, activations on top: "
            "preflight=only measures them"
        )
    return lines
