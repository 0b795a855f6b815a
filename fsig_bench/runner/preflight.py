"""What a run will take, before it takes it: what is on disk, network evaluations, memory, seconds.

`preflight=only` prints all of it, with seconds and memory measured in a short warm-up that keeps
nothing; before every run the cheap part is checked.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from fsig_bench.api.types import Method, PlansWork
from fsig_bench.api.weights import locate
from fsig_bench.console import duration
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.checks import memory_gib
from fsig_bench.runner.warm_up import Measured, other_choices, remedies, to_draw, warm_up
from fsig_bench.store.store import Store

GIB = 2**30
LONG_S = 10.0  # of adapting and sampling: below it no other choice is tried


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """What is left to do of one run."""

    label: str
    finished: bool
    adapted: bool
    images_done: int
    images: int  # in whole shards
    nfe_per_image: float
    nfe_adapt: int | None  # None: the method cannot say beforehand

    def __str__(self) -> str:
        if self.finished:
            return f"done: {self.label}"
        adapting = "adapted" if self.adapted else "to adapt"
        if not self.adapted and self.nfe_adapt is not None:
            adapting += f" ({self.nfe_adapt:,} network evaluations)"
        left = (self.images - self.images_done) * self.nfe_per_image
        return (
            f"to do: {self.label}: {adapting}, {self.images_done} of {self.images} images drawn "
            f"({left:,.0f} network evaluations to go)"
        )


def remaining(cell: Cell, method: Method, store: Store) -> Remaining:
    """What the store already has of a cell."""
    count = cell.samples.num_images
    return Remaining(
        label=cell.label,
        finished=store.record(cell.folder) is not None,
        adapted=(store.adapt_folder(cell.adapt_key) / "state.safetensors").exists(),
        images_done=count - to_draw(cell, store),
        images=count,
        nfe_per_image=method.nfe_per_image,
        nfe_adapt=method.planned_nfe(cell.shots.k) if isinstance(method, PlansWork) else None,
    )


def memory_floor_gib(cell: Cell) -> float:
    """What the networks' weights alone take while adapting, in float32.

    A card's `weight_copies` says how often a method holds them (gradients, moments, averages).
    """
    # Our own weights are stored in half precision.
    own = sum(2 * locate(path).stat().st_size for path in cell.weights)
    there = [a.target for a in cell.assets if a.target.exists()]
    absent = [a for a in cell.assets if not a.target.exists()]
    others = sum(p.stat().st_size for p in there) + sum((a.mib or 0) * 2**20 for a in absent)
    return (own + others) * cell.method.weight_copies / GIB


def device_memory_gib(device: str) -> float:
    """What the device has in all; without limit where it does not say."""
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.get_device_properties(device).total_memory) / GIB
    there = memory_gib()
    return math.inf if there is None else there


def check_memory(cell: Cell, device: str) -> None:
    """Raises ValueError, with remedies, where the weights alone cannot fit."""
    need, there = memory_floor_gib(cell), device_memory_gib(device)
    if need > there:
        raise ValueError(
            f"{cell.label} needs at least {need:.1f} GiB for its weights and {device} has "
            f"{there:.1f} GiB; {remedies(cell.method)}, or a larger device"
        )


def report_lines(cell: Cell, store: Store, bytes_needed: int) -> list[str]:
    """The lines of `preflight=only` for one cell, from a warm-up where something is left to do."""
    from fsig_bench.runner.build import build_method
    from fsig_bench.runner.device import resolve_device

    device, policy = resolve_device(cell.place.device), cell.precision
    method = build_method(cell.method, cell.place)
    todo = remaining(cell, method, store)
    lines = [str(todo), f"  folder   {store.root / cell.folder}"]
    if todo.finished:
        return lines
    check_memory(cell, device)
    seen = warm_up(cell, method, store)
    free = shutil.disk_usage(store.root if store.root.exists() else ".").free
    files = len(cell.assets) + len(cell.weights)
    # The state and its checkpoint; where neither was seen, as many weights as adapting holds.
    kept = 2 * seen.state_bytes if seen.state_bytes else memory_floor_gib(cell) * GIB
    return [
        *lines,
        f"  files    {files} needed, all here",
        f"  disk     {(bytes_needed + kept) / 2**20:.0f} MiB needed for images, state and "
        f"checkpoint, {free / GIB:.0f} GiB free",
        f"  memory   {device}: warm-up with activations peaked at {seen.peak_gib:.1f} GiB (process "
        f"so far), weights {memory_floor_gib(cell):.1f}, {device_memory_gib(device):.0f} there",
        f"  time     {time_text(seen)}",
        f"  numbers  precision {policy.adapt} adapting, {policy.sample} sampling",
        *(choice_lines(seen, other_choices(cell, store)) if worth_choosing(seen) else []),
    ]


def time_text(seen: Measured) -> str:
    """The stages' seconds."""
    score = duration(seen.score_s)
    return (
        f"adapt {duration(seen.adapt_s)}, sample {duration(seen.sample_s)}, score {score} in the "
        f"metrics' networks, rebuild the shots {duration(seen.rebuild_s)}"
    )


def worth_choosing(seen: Measured) -> bool:
    """Whether a run takes so long that another precision might matter, or nobody knows."""
    return None in (seen.adapt_s, seen.sample_s) or spent(seen) > LONG_S


def spent(seen: Measured) -> float:
    """Seconds of adapting and sampling, as far as they are known."""
    return (seen.adapt_s or 0.0) + (seen.sample_s or 0.0)


def choice_lines(now: Measured, others: Sequence[tuple[str, Measured]]) -> list[str]:
    """Other settings beside the present ones: adapting and sampling together."""

    def text(seen: Measured) -> str:
        return duration(None if None in (seen.adapt_s, seen.sample_s) else spent(seen))

    lines = [f"  choices  as it stands {text(now)} of adapting and sampling"]
    lines += [f"           {words} {text(seen)}" for words, seen in others]
    return [*lines, "           another precision makes another run"] if others else []
