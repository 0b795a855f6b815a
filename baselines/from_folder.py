"""Images made elsewhere, scored like any method's: the n-th file of a folder is image n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsig_bench.api import Images, ImagesByIndex, Progress, Sampler, State, to_float


@dataclass(frozen=True, kw_only=True)
class FromFolder:
    """Reads a folder; the shots are not looked at."""

    images: ImagesByIndex

    nfe_per_image = 0.0  # not known

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Nothing to learn."""
        return State(tensors={}, seed=seed, trained_params=0, nfe_adapt=0)

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is file i; the draw seed changes nothing."""

        def images_at(indices: Sequence[int]) -> Images:
            return to_float(self.images.load(list(indices)))

        return images_at
