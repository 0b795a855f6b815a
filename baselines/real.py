"""Control `real`: target images that nobody has seen. The floor of every distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsig_bench.api import Images, ImagesByIndex, Progress, Sampler, State, to_float


@dataclass(frozen=True, kw_only=True)
class Real:
    """Image i is fresh target image (draw, i)."""

    images: ImagesByIndex

    @property
    def nfe_per_image(self) -> float:
        """No network is asked."""
        return 0

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Nothing to learn."""
        return State(tensors={}, seed=seed, trained_params=0, nfe_adapt=0)

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Draw seeds take disjoint stretches of a million images each."""

        def images_at(indices: Sequence[int]) -> Images:
            return to_float(self.images.load([draw * 1_000_000 + i for i in indices]))

        return images_at
