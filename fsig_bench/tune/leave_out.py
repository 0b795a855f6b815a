"""How near do samples come to shots that the method has not seen? No reference is needed.

The k shots are split into folds. For each, the method adapts to the other shots and draws n
samples; the objective is the LPIPS from each shot left out to its nearest sample, averaged over the
fold's shots and then over folds (lower is better). The same distance from the shots adapted to is
its check: it is 0 for a method that copies its shots, and the same as the objective for one that
ignores them. `copying_score` is what copying would score: the objective alone does not rule it out.

Shape legend: n samples, k shots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from fsig_bench.api.types import NoProgress, no_sharing
from fsig_bench.runner.build import sampler_of
from fsig_bench.store.shared import SharedWork
from fsig_bench.tune.trials import Part

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.api.types import Method, Perceptual, Progress, Shared
    from fsig_bench.runner.cell import Cell
    from fsig_bench.store.store import Store

Stage = Callable[[str], AbstractContextManager[object]]  # "adapt" or "sample" -> its precision


def folds(k: int, held: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """The shots left out in each fold: every shot once, `held` at a time or one fewer.

    Raises:
        ValueError: nothing would be left out, or more than half of the shots.
    """
    if not (held == 1 < k or 1 <= held <= k // 2):
        raise ValueError(
            f"held={held} of k={k} shots: leave out at least one and at most half of them "
            "(k=1 cannot be tuned this way)"
        )
    from fsig_bench.api.seeding import derive

    order = sorted(range(k), key=lambda i: derive(seed, "leave out", i))
    count = math.ceil(k / held)
    return tuple(tuple(sorted(order[n::count])) for n in range(count))


def mean_nearest(distances: Tensor, held: Sequence[int]) -> tuple[float, float]:
    """Mean distance to the nearest sample from the shots left out, and from the others.

    Args:
        distances: LPIPS of each sample to each shot, [n, k].
        held: indices of the shots left out.
    """
    near = distances.double().min(0).values
    kept = [i for i in range(len(near)) if i not in held]
    return float(near[list(held)].mean()), float(near[kept].mean())


class SharingProgress(NoProgress):
    """Keeps only the work that does not depend on the shots, once for all folds and trials."""

    def __init__(self, store: Store, precision: str, code: Sequence[Sequence[str]]) -> None:
        self.work = SharedWork(store, precision, code)

    def shared(self, key: Sequence[object], compute: Callable[[], Tensor]) -> Tensor:
        return self.work(key, compute)


def distances_to_shots(
    shots: Tensor, fake: Tensor, perceptual: Perceptual, batch_size: int
) -> Tensor:
    """LPIPS of each sample to each shot, float64 [n, k], of uint8 images."""
    from fsig_bench.metrics.base import Evidence

    evidence = Evidence(
        shots=shots,
        fake=fake,
        real=None,  # there is none here, so none can be looked at
        extractor=None,
        perceptual=perceptual,
        seed=0,
        batch_size=batch_size,
        source_domain=None,
    )
    return evidence.shot_distances("fake")


def leave_out(
    method: Method,
    shots: Tensor,
    perceptual: Perceptual,
    *,
    splits: Sequence[Sequence[int]],
    samples: int,
    seed: int,
    draw: int,
    batch_size: int,
    progress: Progress | None = None,
    shared: Shared = no_sharing,
    stage: Stage = lambda name: nullcontext(),
) -> Iterator[Part]:
    """Adapts, samples and measures fold by fold; yields each fold as it is done.

    Args:
        method: see `fsig_bench.api.types.Method`.
        shots: uint8 [k, 3, h, w]; a fold's method sees those that are not left out, in order.
        perceptual: see `fsig_bench.api.types.Perceptual`.
        splits: the shots left out in each fold.
        samples: how many to draw in each fold; they are rounded to uint8 as everything scored is.
        seed: of every adaptation.
        draw: of all samples.
        batch_size: images drawn or compared at once.
        progress: what the adaptations report to.
        shared: asked for what drawing shares with other runs.
        stage: the context in which to adapt or sample.

    Raises:
        FloatingPointError: an adaptation diverged, or samples are not images.
    """
    import torch

    from fsig_bench.api.images import to_float, to_uint8

    for held in splits:
        kept = [i for i in range(len(shots)) if i not in held]
        with stage("adapt"):
            state = method.adapt(
                to_float(shots[kept]), seed=seed, progress=progress or NoProgress()
            )
        with stage("sample"):
            sampler = sampler_of(method, state, draw=draw, shared=shared)
            parts = [
                sampler(range(a, min(a + batch_size, samples))).float()
                for a in range(0, samples, batch_size)
            ]
        try:
            fake = to_uint8(torch.cat(parts))
        except ValueError as error:
            raise FloatingPointError(f"its samples cannot be scored: {error}") from error
        left_out, kept_mean = mean_nearest(
            distances_to_shots(shots, fake, perceptual, batch_size), held
        )
        yield Part(of=tuple(held), value=left_out, check=kept_mean)


def copying_score(
    shots: Tensor, perceptual: Perceptual, *, splits: Sequence[Sequence[int]], batch_size: int
) -> float:
    """The objective of a method that draws nothing but the shots it adapted to, each at least once.

    Args:
        shots: uint8 [k, 3, h, w].
        perceptual: see `fsig_bench.api.types.Perceptual`.
        splits: the shots left out in each fold.
        batch_size: images compared at once.
    """
    distances = distances_to_shots(shots, shots, perceptual, batch_size)
    kept = [[i for i in range(len(shots)) if i not in held] for held in splits]
    each = [mean_nearest(distances[rows], held)[0] for rows, held in zip(kept, splits, strict=True)]
    return math.fsum(each) / len(each)


def perceptual_of(cell: Cell) -> Perceptual:
    """The protocol's perceptual network."""
    from hydra.utils import instantiate

    from fsig_bench.runner.build import with_device
    from fsig_bench.runner.device import resolve_device

    node = with_device(cell.protocol.perceptual, resolve_device(cell.place.device))
    network: Perceptual = instantiate(node, _convert_="all")
    return network


def leave_out_cell(
    cell: Cell, store: Store, *, splits: Sequence[Sequence[int]], samples: int
) -> Iterator[Part]:
    """`leave_out` for a cell; of the dataset only its shots are read."""
    from fsig_bench.runner.build import build_method, computing
    from fsig_bench.runner.fingerprint import marks

    code = marks(cell.method.spec)
    policies = {"adapt": cell.precision.adapt, "sample": cell.precision.sample}
    yield from leave_out(
        build_method(cell.method, cell.place),
        cell.dataset.shots(cell.shots.k, cell.shots.subset),
        perceptual_of(cell),
        splits=splits,
        samples=samples,
        seed=cell.seed,
        draw=cell.draw,
        batch_size=cell.place.batch_size,
        progress=SharingProgress(store, policies["adapt"], code),
        shared=SharedWork(store, policies["sample"], code),
        stage=lambda name: computing(cell.place, policies[name]),
    )
