"""One method on trial: it is built anew, given shots and nothing else, killed and continued.

Every call of the method runs under a stated global random state, so that a promise fails for its
own reason and not for another one's.
"""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fsig_bench.api.images import to_float
from fsig_bench.api.types import Images, Method, NoProgress, Pixels, Progress, Sampler, State
from fsig_bench.runner.build import build_method, computing
from fsig_bench.runner.cell import Cell

INDICES = (11, 4, 7)  # not in order, and not the same shot for a replay of 2, 3, 5 or 10 shots


class NotChecked(Exception):
    """A promise that does not apply; the message is a sentence that says why."""


class Killed(Exception):
    """Stands for the signal that ends an adaptation."""


class WatchedProgress(NoProgress):
    """A `Progress` that keeps every checkpoint, as files would, and can kill the adaptation."""

    def __init__(
        self, done: int = 0, tensors: Mapping[str, Tensor] | None = None, *, kill_at: int = -1
    ) -> None:
        self.done, self.tensors = done, copy_of(tensors or {})
        self.kill_at = kill_at  # steps done at the checkpoint after which the adaptation is killed
        self.saved: list[int] = []  # steps done at each checkpoint
        self.reported: list[int] = []  # steps done at each report
        self.was_loaded = False

    def report(self, done: int, total: int, **values: float) -> None:
        self.reported.append(done)

    def save(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        self.saved.append(done)
        self.done, self.tensors = done, copy_of(tensors)
        if done == self.kill_at:
            raise Killed

    def load(self) -> tuple[int, dict[str, Tensor]]:
        self.was_loaded = True
        return self.done, copy_of(self.tensors)


def copy_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as a file would keep them: methods go on to change theirs in place."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def global_states() -> tuple[bytes, ...]:
    """What the global generators of torch, numpy and Python stand at."""
    return (
        torch.get_rng_state().numpy().tobytes(),
        pickle.dumps(np.random.get_state()),
        pickle.dumps(random.getstate()),
    )


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """The global generators of torch, numpy and Python start from `seed`, and are put back."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


@dataclass(frozen=True)
class Adapted:
    """A method that has adapted, and what that left."""

    method: Method
    state: State
    sampler: Sampler
    saved: list[int]  # steps done at each checkpoint
    shots: Images  # as the method was given them, after adapting
    global_states: tuple[bytes, ...]  # after adapting


@dataclass
class Trial:
    """What the promises are checked on: a cell, and adaptations that several promises look at."""

    cell: Cell
    pixels: dict[int, Pixels] = field(default_factory=dict)
    known: dict[tuple[int, int], Adapted] = field(default_factory=dict)
    images: dict[tuple[int, int], Images] = field(default_factory=dict)
    last_seed: int | None = None  # of the adaptation that ran last

    @property
    def seed(self) -> int:
        return self.cell.seed

    @property
    def k(self) -> int:
        return self.cell.shots.k

    def build(self) -> Method:
        """The method, new."""
        with global_seed(0):
            return build_method(self.cell.method, self.cell.place)

    def shots(self, k: int) -> Images:
        """float32 [k, 3, h, w] in [-1, 1], a new copy."""
        if k not in self.pixels:
            self.pixels[k] = self.cell.dataset.shots(k, self.cell.shots.subset)
        return to_float(self.pixels[k]).clone()

    def adapt(
        self,
        *,
        k: int | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
        random_state: int = 0,
    ) -> Adapted:
        """A new method adapts.

        Args:
            k: shots; the cell's number by default.
            seed: the run's seed; the cell's by default.
            progress: where it reports; one that keeps checkpoints by default.
            random_state: what the global generators are seeded with.
        """
        method, shots = self.build(), self.shots(self.k if k is None else k)
        self.last_seed = self.seed if seed is None else seed
        progress = progress or WatchedProgress()
        with (
            global_seed(random_state),
            computing(self.cell.place, self.cell.precision.adapt),
        ):
            state = method.adapt(shots, seed=self.last_seed, progress=progress)
            after = global_states()
            sampler = method.sampler(state, draw=self.cell.draw)
        saved = progress.saved if isinstance(progress, WatchedProgress) else []
        return Adapted(method, state, sampler, saved, shots, after)

    def adapted(self, *, k: int | None = None, seed: int | None = None) -> Adapted:
        """As `adapt`, made once for all promises."""
        key = self.k if k is None else k, self.seed if seed is None else seed
        if key not in self.known:
            self.known[key] = self.adapt(k=key[0], seed=key[1])
        return self.known[key]

    def drawn(self, *, seed: int | None = None) -> Images:
        """Images at `INDICES` of `adapted`, made once for all promises."""
        key = self.k, self.seed if seed is None else seed
        if key not in self.images:
            self.images[key] = self.draw(self.adapted(seed=seed).sampler)
        return self.images[key]

    def draw(
        self, sampler: Sampler, indices: Sequence[int] = INDICES, *, random_state: int = 0
    ) -> Images:
        """Images at these indices, with the global generators seeded with `random_state`."""
        with (
            global_seed(random_state),
            computing(self.cell.place, self.cell.precision.sample),
        ):
            return sampler(indices)


def state_difference(one: State, other: State) -> str | None:
    """What differs between two states, as "`name` differs by up to 0.1"; None if nothing does."""
    if set(one.tensors) != set(other.tensors):
        return f"the tensors are {sorted(one.tensors)} and {sorted(other.tensors)}"
    for name, tensor in one.tensors.items():
        again = other.tensors[name]
        if tensor.dtype != again.dtype or tensor.shape != again.shape:
            return (
                f"tensor `{name}` is {tensor.dtype} {list(tensor.shape)} and "
                f"{again.dtype} {list(again.shape)}"
            )
        if not torch.equal(bytes_of(tensor), bytes_of(again)):
            gap = (tensor.double() - again.double()).abs().max().item()
            return f"tensor `{name}` differs by up to {gap:.3g}"
    plain: dict[str, tuple[Any, Any]] = {
        "seed": (one.seed, other.seed),
        "trained_params": (one.trained_params, other.trained_params),
        "nfe_adapt": (one.nfe_adapt, other.nfe_adapt),
    }
    for name, (a, b) in plain.items():
        if a != b:
            return f"`{name}` is {a} and {b}"
    return None


def bytes_of(tensor: Tensor) -> Tensor:
    """uint8, one dimension: the numbers as they lie in memory, NaN included."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def image_gap(one: Images, other: Images) -> float:
    """The largest difference of a pixel, from 0 to 2; infinite for other shapes and for NaN."""
    if one.shape != other.shape:
        return math.inf
    gap = float((one.double() - other.double()).abs().max())
    return math.inf if math.isnan(gap) else gap
