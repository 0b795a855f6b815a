"""A short try of a run that keeps nothing: how long each stage takes, and how much memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fsig_bench.api.types import Method, PlansWork, Reconstructs
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.settings import MethodSettings
from fsig_bench.store.shards import missing_ranges
from fsig_bench.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.api.types import State

WARM_UP_S = 20.0  # all stages together
TRY_S = 5.0  # one other precision or compilation
FEW = 8  # images that the metrics' networks are tried on


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a warm-up saw, in seconds for the whole run; None where it could not reach that far."""

    adapt_s: float | None
    sample_s: float | None
    score_s: float | None
    rebuild_s: float | None  # 0 for methods that do not rebuild the shots
    peak_gib: float
    state_bytes: int  # of the state and its checkpoint, as far as they were seen


class PaceProgress:
    """A `Progress` that keeps nothing and tells the pace from what the method reports."""

    def __init__(self) -> None:
        self.began, self.bytes = time.perf_counter(), 0
        self.first: tuple[float, int] | None = None
        self.estimate_s: float | None = None

    def report(self, done: int, total: int, **values: float) -> None:
        """Two reports give a pace; loading and compiling come before the first."""
        now = time.perf_counter() - self.began
        if self.first is None:
            self.first = now, done
        elif done > self.first[1]:
            pace = (now - self.first[0]) / (done - self.first[1])
            self.estimate_s = now + pace * (total - done)

    def save(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        """Counts the bytes."""
        self.bytes = max(self.bytes, bytes_of(tensors))

    def load(self) -> tuple[int, dict[str, Tensor]]:
        """Nothing was kept."""
        return 0, {}

    def shared(self, key: Sequence[object], compute: Callable[[], Tensor]) -> Tensor:
        """Computes."""
        return compute()


def bytes_of(tensors: Mapping[str, Tensor]) -> int:
    """The size of tensors in a file."""
    return sum(t.numel() * t.element_size() for t in tensors.values())


def to_draw(cell: Cell, store: Store) -> int:
    """How many images the store lacks."""
    count, size = cell.samples.num_images, cell.suite.shard_size
    return sum(end - start for start, end in missing_ranges(store, cell.sample_key, count, size))


def remedies(method: MethodSettings) -> str:
    """The settings that save memory: those of the method's card, then those of every run."""
    own = [
        f"method.{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in method.speed_only.items()
    ]
    common = ["precision.adapt=bf16", "batch_size=1 (sampling)", "precision.sample=bf16"]
    tunes = method.weight_copies > 1  # offload is for frozen networks
    return "try " + ", ".join([*own, *common, *([] if tunes else ["offload=true"])])


def warm_up(cell: Cell, method: Method, store: Store, limit_s: float = WARM_UP_S) -> Measured:
    """Adapts for half of `limit_s` seconds, draws and scores a few images; stores nothing.

    Where a single step takes longer than that, one evaluation forward and backward is timed, and
    the method's plan says how many there are.

    Raises:
        ValueError: the device's memory does not suffice; the message says what to change.
    """
    import torch

    from fsig_bench.runner.device import peak_mem_gib, resolve_device

    try:
        state, adapt_s, forward_s, stored = _try_adapting(cell, method, store, limit_s / 2)
        sample_s = _try_sampling(cell, method, store, state, forward_s, limit_s / 4)
        rebuild_s = _try_rebuilding(cell, method, state, limit_s / 8)
        score_s = _try_scoring(cell)
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"{cell.label} does not fit into the memory of {resolve_device(cell.place.device)}: "
            f"{error}; {remedies(cell.method)}"
        ) from error
    return Measured(
        adapt_s=adapt_s,
        sample_s=sample_s,
        score_s=score_s,
        rebuild_s=rebuild_s,
        peak_gib=peak_mem_gib(resolve_device(cell.place.device)),
        state_bytes=stored,
    )


def _try_adapting(
    cell: Cell, method: Method, store: Store, limit_s: float
) -> tuple[State | None, float | None, float | None, int]:
    """(state if reached, seconds of all adapting, seconds of one forward, bytes of the state)."""
    from fsig_bench.api.images import to_float
    from fsig_bench.runner.build import computing
    from fsig_bench.runner.evaluations import Evaluations, LimitReached

    if found := store.load_state(cell.adapt_key):
        return found[0], 0.0, None, bytes_of(found[0].tensors)
    shots = to_float(cell.dataset.shots(cell.shots.k, cell.shots.subset))
    pace = PaceProgress()
    with Evaluations(limit_s) as seen, computing(cell.place, cell.precision.adapt):
        try:
            state = method.adapt(shots, seed=cell.seed, progress=pace)
            spent = time.perf_counter() - pace.began
            return state, spent, seen.each_forward_s, max(pace.bytes, bytes_of(state.tensors))
        except LimitReached:
            pass
    adapt_s = pace.estimate_s
    planned = method.planned_nfe(cell.shots.k) if isinstance(method, PlansWork) else None
    if adapt_s is None and seen.each_s is not None and planned is not None:
        adapt_s = seen.each_s * planned
    return None, adapt_s, seen.each_forward_s, pace.bytes


def _try_sampling(
    cell: Cell,
    method: Method,
    store: Store,
    state: State | None,
    forward_s: float | None,
    limit_s: float,
) -> float | None:
    """Seconds of drawing what the store lacks."""
    from fsig_bench.runner.build import computing
    from fsig_bench.runner.device import resolve_device
    from fsig_bench.runner.evaluations import Evaluations, LimitReached

    left = to_draw(cell, store)
    if state is None:
        return None if forward_s is None else forward_s * method.nfe_per_image * left
    count = cell.place.batch_size if resolve_device(cell.place.device).startswith("cuda") else 2
    with computing(cell.place, cell.precision.sample), Evaluations(limit_s) as seen:
        try:
            sampler = method.sampler(state, draw=cell.draw)
            sampler(range(count))
            began = time.perf_counter()
            sampler(range(count))
            return (time.perf_counter() - began) / count * left
        except LimitReached:
            pass
    return None if seen.each_s is None else seen.each_s * method.nfe_per_image * left


def _try_rebuilding(
    cell: Cell, method: Method, state: State | None, limit_s: float
) -> float | None:
    """Seconds of rebuilding the shots, without the card's sweep over other settings."""
    from fsig_bench.runner.build import computing
    from fsig_bench.runner.evaluations import Evaluations, LimitReached

    if not isinstance(method, Reconstructs):
        return 0.0
    if state is None:
        return None
    began = time.perf_counter()
    with computing(cell.place, cell.precision.sample), Evaluations(limit_s):
        try:
            method.reconstruct(state)
            return time.perf_counter() - began
        except LimitReached:
            return None


def _try_scoring(cell: Cell) -> float:
    """Seconds of the metrics' networks on samples and as many reference images; not of the rest."""
    import torch

    from fsig_bench.api.images import to_float
    from fsig_bench.runner.build import computing
    from fsig_bench.runner.device import resolve_device
    from fsig_bench.runner.score import build_networks

    features, perceptual = build_networks(cell.protocol, resolve_device(cell.place.device))
    size = cell.suite.resolution
    few = torch.randint(0, 256, (FEW, 3, size, size), dtype=torch.uint8)
    with computing(cell.place, cell.precision.score), torch.inference_mode():
        features.features(few)
        began = time.perf_counter()
        features.features(few)
        each = 2 * (time.perf_counter() - began) / FEW  # samples and reference
        began = time.perf_counter()
        perceptual.perceive(to_float(few))
        each += (time.perf_counter() - began) / FEW
    return each * cell.samples.num_images


def other_choices(cell: Cell, store: Store, limit_s: float = TRY_S) -> list[tuple[str, Measured]]:
    """Precision and compilation that might be quicker on this device, each tried for itself."""
    from fsig_bench.runner.build import build_method
    from fsig_bench.runner.device import resolve_device

    cuda = resolve_device(cell.place.device).startswith("cuda")
    now = cell.precision
    found = []
    for name in ("fp32", "torch_default", "tf32", "bf16") if cuda else ("fp32", "bf16"):
        if name != now.adapt or name != now.sample:
            words = f"precision.adapt={name} precision.sample={name}"
            other = replace(cell, precision=replace(now, adapt=name, sample=name))
            found.append((words, other))
    if cuda and not cell.place.compile:
        found.append(
            ("compile=default", replace(cell, place=replace(cell.place, compile="default")))
        )
    return [
        (words, warm_up(other, build_method(other.method, other.place), store, limit_s))
        for words, other in found
    ]
