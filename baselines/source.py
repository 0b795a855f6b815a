"""Control `source`: the source model as it is, without adaptation.

Unconditional DDIM samples (Song et al., arXiv:2010.02502, sigma = 0). Every adapted model should
leave this row; what it shares with it is leakage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baselines.common.diffusion import Schedule, ddim_loop
from baselines.common.unet import DiffusionSource
from fsig_bench.api import ImageGenerators, Images, Progress, Sampler, State, upload


@dataclass(frozen=True, kw_only=True)
class Source:
    """Draws from the source model; the shots are not looked at."""

    source: DiffusionSource
    num_steps: int

    @property
    def nfe_per_image(self) -> float:
        """One evaluation a step."""
        return self.num_steps

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Nothing to learn."""
        return State(tensors={}, seed=seed, trained_params=0, nfe_adapt=0)

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is denoised from its own Gaussian noise."""

        def images_at(indices: Sequence[int]) -> Images:
            side = self.source.resolution
            x = ImageGenerators(draw, indices, "source").randn(3, side, side)
            schedule = Schedule.respaced(self.num_steps, self.source.abar)
            return (
                ddim_loop(self.source.eps, upload(x, self.source.device), schedule)
                .clamp(-1, 1)
                .cpu()
            )

        return images_at
