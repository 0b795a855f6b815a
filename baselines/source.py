"""Control `source`: the source model as it is, without adaptation.

Unconditional samples by DDIM (Song et al., arXiv:2010.02502, sigma = 0) or DPM-Solver++(2M) (Lu et
al., arXiv:2211.01095). Every adapted model should leave this row; what it shares with it is
leakage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baselines.common.choices import check_choices
from baselines.common.diffusion import Solver, solve
from baselines.common.unet import DiffusionSource
from fsig_bench.api import ImageGenerators, Images, Progress, Sampler, State, upload


@dataclass(frozen=True, kw_only=True)
class Source:
    """Draws from the source model; the shots are not looked at."""

    source: DiffusionSource
    solver: Solver
    num_steps: int

    def __post_init__(self) -> None:
        check_choices(self)

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
            images = solve(
                self.solver,
                self.source.eps,
                upload(x, self.source.device),
                num_steps=self.num_steps,
                table=self.source.abar,
            )
            return images.clamp(-1, 1).cpu()

        return images_at
