"""What a run will take, before it takes it: what is on disk, network evaluations, memory, seconds.

`preflight=only` prints all of it, with seconds and memory measured in a short warm-up that keeps
nothing; before every run the cheap part is checked.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsig_bench.api.types import Method, PlansWork
from fsig_bench.api.weights import locate
from fsig_bench.console import duration
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.settings import MethodSettings
from fsig_bench.store.shards import missing_ranges
from fsig_bench.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor

WARM_UP_S = 20.0  # of adapting; sampling is one small batch
GIB = 2**30


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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a warm-up saw; None where it could not reach that far."""

    adapt_s: float | None
    sample_s: float | None
    peak_gib: float


def remaining(cell: Cell, method: Method, store: Store) -> Remaining:
    """What the store already has of a cell."""
    count, size = cell.samples.num_images, cell.suite.shard_size
    missing = missing_ranges(store, cell.sample_key, count, size)
    return Remaining(
        label=cell.label,
        finished=store.record(cell.folder) is not None,
        adapted=(store.adapt_folder(cell.adapt_key) / "state.safetensors").exists(),
        images_done=count - sum(end - start for start, end in missing),
        images=count,
        nfe_per_image=method.nfe_per_image,
        nfe_adapt=method.planned_nfe(cell.shots.k) if isinstance(method, PlansWork) else None,
    )


class _WarmUpDone(BaseException):
    """Ends a warm-up; no method catches it."""


class _PaceProgress:
    """A `Progress` that keeps nothing and stops the adaptation once its pace is known."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s, self.began = limit_s, time.perf_counter()
        self.first: tuple[float, int] | None = None
        self.estimate_s: float | None = None

    def report(self, done: int, total: int, **values: float) -> None:
        now = time.perf_counter() - self.began
        if self.first is None:
            self.first = now, done  # loading and compiling are not the pace
        elif done > self.first[1]:
            pace = (now - self.first[0]) / (done - self.first[1])
            self.estimate_s = now + pace * (total - done)
        if now > self.limit_s and self.estimate_s is not None:
            raise _WarmUpDone

    def save(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        return None

    def load(self) -> tuple[int, dict[str, Tensor]]:
        return 0, {}

    def shared(self, key: Sequence[object], compute: Callable[[], Tensor]) -> Tensor:
        return compute()


def warm_up(cell: Cell, method: Method, store: Store, limit_s: float = WARM_UP_S) -> Measured:
    """Adapts for `limit_s` seconds and draws one small batch; stores nothing.

    Raises:
        ValueError: the device's memory does not suffice; the message says what to change.
    """
    import torch

    from fsig_bench.api.images import to_float
    from fsig_bench.runner.device import peak_mem_gib, precision_policy, resolve_device

    device, policy = resolve_device(cell.place.device), cell.precision
    found = store.load_state(cell.adapt_key)
    state, adapt_s, sample_s = (found[0] if found else None), 0.0 if found else None, None
    todo = remaining(cell, method, store)
    try:
        if state is None:
            watch, shots = (
                _PaceProgress(limit_s),
                to_float(cell.dataset.shots(cell.shots.k, cell.shots.subset)),
            )
            try:
                with precision_policy(policy.adapt, device):
                    state = method.adapt(shots, seed=cell.seed, progress=watch)
                adapt_s = time.perf_counter() - watch.began
            except _WarmUpDone:
                adapt_s = watch.estimate_s
        if state is not None:
            count = cell.place.batch_size if device.startswith("cuda") else 2
            began = time.perf_counter()
            with precision_policy(policy.sample, device):
                sampler = method.sampler(state, draw=cell.draw)
                sampler(range(count))
                began = time.perf_counter()
                sampler(range(count))
            each = (time.perf_counter() - began) / count
            sample_s = each * (todo.images - todo.images_done)
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"{cell.label} does not fit into the memory of {device}: {error}; "
            f"{remedies(cell.method)}"
        ) from error
    return Measured(adapt_s=adapt_s, sample_s=sample_s, peak_gib=peak_mem_gib())


def remedies(method: MethodSettings) -> str:
    """The settings that save memory: those of the method's card, then those of every run."""
    own = [
        f"method.{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in method.speed_only.items()
    ]
    common = ["precision.adapt=bf16", "batch_size=1 (sampling)", "precision.sample=bf16"]
    tunes = method.weight_copies > 1  # offload is for frozen networks
    return "try " + ", ".join([*own, *common, *([] if tunes else ["offload=true"])])


def memory_floor_gib(cell: Cell) -> float:
    """What the networks' weights alone take while adapting, in float32.

    A card's `weight_copies` says how often a method holds them (gradients, moments, averages).
    """
    # Our own weights are stored in half precision.
    own = sum(2 * locate(path).stat().st_size for path in cell.weights)
    others = sum(asset.mib * 2**20 for asset in cell.assets)
    return (own + others) * cell.method.weight_copies / GIB


def memory_gib(device: str) -> float:
    """What the device has in all."""
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.get_device_properties(device).total_memory) / GIB
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB


def check_memory(cell: Cell, device: str) -> None:
    """Raises ValueError, with remedies, where the weights alone cannot fit."""
    need, there = memory_floor_gib(cell), memory_gib(device)
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
    times = f"adapt {duration(seen.adapt_s)}, sample {duration(seen.sample_s)}"
    return [
        *lines,
        f"  files    {files} needed, all here",
        f"  disk     {bytes_needed / 2**20:.0f} MiB needed, {free / GIB:.0f} GiB free",
        f"  memory   {device}: warm-up peaked at {seen.peak_gib:.1f} GiB (process so far), "
        f"weights {memory_floor_gib(cell):.1f}, {memory_gib(device):.0f} there",
        f"  time     {times}; then scoring",
        f"  numbers  precision {policy.adapt} adapting, {policy.sample} sampling",
    ]
