"""The words that the harness and the methods share.

Shape legend: n images, k shots, h height, w width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from fsig_bench.api.plain import Json

Images = Tensor  # float32 [n, 3, h, w] in [-1, 1]: what methods speak
Pixels = Tensor  # uint8 [n, 3, h, w] in [0, 255]: what is stored and scored

# Given a state, image i depends on (draw, i) only, so indices may be asked for in any grouping.
Sampler = Callable[[Sequence[int]], Images]

# (key of plain JSON values, compute) -> the tensor that the key determines, made once for all runs.
Shared = Callable[[Sequence[object], Callable[[], Tensor]], Tensor]


@dataclass(frozen=True, kw_only=True)
class State:
    """What adapting leaves behind: enough, with the method's settings, to draw every image."""

    tensors: Mapping[str, Tensor]  # stored as safetensors
    seed: int  # that it was adapted with
    trained_params: int  # numbers that adapting fitted
    nfe_adapt: int  # network evaluations that adapting took, counted per image
    # Plain JSON values for the record. "warning" is printed; "nfe_per_image" is what this state
    # needs, where the method's own figure is a bound.
    meta: Json = field(default_factory=dict)


class Progress(Protocol):
    """Where a long adaptation reports and keeps its checkpoints."""

    def report(self, done: int, total: int, **values: float) -> None:
        """Moves the bar to `done` of `total` steps and adds a point to the adaptation curve."""

    def save(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        """Keeps a checkpoint taken after `done` steps; may skip it if the last one is recent."""

    def load(self) -> tuple[int, dict[str, Tensor]]:
        """The last checkpoint as (steps done, tensors); (0, {}) when there is none."""

    def shared(self, key: Sequence[object], compute: Callable[[], Tensor]) -> Tensor:
        """A tensor that plain JSON values determine, whatever the shots: made once for all runs."""
        ...


class Method(Protocol):
    """Turns k shots into a sampler. It is never given the reference set."""

    @property
    def nfe_per_image(self) -> float:
        """Network evaluations to draw one image."""
        ...

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Learns from shots [k, 3, h, w]; continues from `progress.load()` after a kill."""
        ...

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Returns the function from image indices to float32 [n, 3, h, w] in [-1, 1].

        Args:
            state: what adapting left.
            draw: the run's draw seed; every random number of image i comes from (draw, i).
        """
        ...


@runtime_checkable
class PlansWork(Protocol):
    """A method that can say beforehand how long adapting takes."""

    def planned_nfe(self, k: int) -> int | None:
        """Network evaluations of adapting to k shots, counted per image; None: not known."""
        ...


@runtime_checkable
class AdaptsInTeam(Protocol):
    """A method that adapts in all processes of a torchrun, sharing its gradients."""

    adapts_in_team: bool


@runtime_checkable
class SharesWork(Protocol):
    """A method whose images rest on work that runs on other shots need as well."""

    def sharing_sampler(self, state: State, *, draw: int, shared: Shared) -> Sampler:
        """`sampler`, the same up to rounding, with `shared` asked for such work."""
        ...


@runtime_checkable
class Annotates(Protocol):
    """A method whose record says more than the state's meta.

    Runs that differ in `sample` alone share their state: what those settings decide is no part
    of it.
    """

    def notes(self, state: State) -> Json:
        """Plain JSON values for the record, in place of the meta."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """A method that can also rebuild the shots themselves from its state."""

    def reconstruct(self, state: State) -> Images:
        """The k shots as the method remembers them, float32 [k, 3, h, w] in [-1, 1]."""
        ...


class Perceptual(Protocol):
    """A suite's perceptual network, differentiable: what methods train against."""

    def perceive(self, images: Tensor) -> Tensor:
        """float32 [n, 3, h, w] in [-1, 1] -> [n, e]; squared distances between rows are LPIPS."""
        ...


class Trunk(Protocol):
    """A suite's perceptual network map by map, differentiable."""

    def trunk(self, images: Tensor) -> list[Tensor]:
        """float32 [n, 3, h, w] in [-1, 1] -> maps [n, c, h', w'], shallow to deep."""
        ...


def no_sharing(key: Sequence[object], compute: Callable[[], Tensor]) -> Tensor:
    """A `Shared` that shares with nobody."""
    return compute()


class NoProgress:
    """A `Progress` that keeps nothing: for tests and for use as a library."""

    def report(self, done: int, total: int, **values: float) -> None:
        return None

    def save(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        return None

    def load(self) -> tuple[int, dict[str, Tensor]]:
        return 0, {}

    def shared(self, key: Sequence[object], compute: Callable[[], Tensor]) -> Tensor:
        return compute()


class ImagesByIndex(Protocol):
    """Fresh target images, apart from shots and reference."""

    def load(self, indices: Sequence[int]) -> Tensor:
        """uint8 [n, 3, h, w]."""
        ...
