"""Prior preservation: the source model's own samples keep their loss while the shots are learned.

Ruiz et al., "DreamBooth", CVPR 2023, arXiv:2208.12242, Eq. 2, without its text:

    L = L(shots) + weight E ||eps(x_t^prior, t') - noise'||^2,

x^prior drawn once by the source model before tuning, and t', noise' independent of the shots' own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from baselines.common.choices import check_choices
from baselines.common.dropout import ImageSeeds
from baselines.common.variational import Tables, noised
from fsig_bench.api import Sampler, derive, generator, to_float, to_uint8, upload

Network = Callable[[Tensor, Tensor], Tensor]
SamplerKind = Literal["ddim", "dpmpp_2m", "ancestral"]
DRAWN_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Prior:
    """The second term; its values stand in conf/method/objective/prior_preservation.yaml."""

    weight: float  # lambda
    images: int  # drawn by the source model before tuning
    kind: SamplerKind  # of the sampler that draws them
    num_steps: int

    def __post_init__(self) -> None:
        check_choices(self)
        if self.images < 1 or self.weight <= 0:
            raise ValueError(
                f"prior.images={self.images}, prior.weight={self.weight}: both must be above 0; "
                "method/objective=plain leaves the term out"
            )

    def draw(self, source: Sampler) -> Tensor:
        """Samples of the source model as uint8 [images, 3, h, w], on the CPU."""
        blocks = torch.arange(self.images).split(DRAWN_AT_ONCE)
        return torch.cat([to_uint8(source(block.tolist())) for block in blocks])

    def batch(self, drawn: Tensor, seed: int, step: int, *, count: int, steps: int) -> list[Tensor]:
        """[x0, t, noise, seeds of dropout] of a training step: `count` rows; t below `steps`."""
        g = generator(seed, "domainstudio", "prior", step)
        x0 = to_float(drawn[torch.randint(len(drawn), (count,), generator=g)])
        t = torch.randint(steps, (count,), generator=g)
        noise = torch.randn(x0.shape, generator=g)
        own = [derive(seed, "domainstudio", "prior", step, i) for i in range(count)]
        return [x0, t, noise, torch.tensor(own)]

    def term(
        self, net: Network, dropping: ImageSeeds, batch: list[Tensor], rows: Tensor, tables: Tables
    ) -> Tensor:
        """Weighted mean squared error in epsilon over the rows of a batch, a scalar."""
        x0, t, noise = (upload(a[rows], tables.abar.device) for a in batch[:3])
        dropping.values = batch[3][rows]
        x_t = noised(x0, noise, t, tables).contiguous(memory_format=torch.channels_last)
        out = net(x_t, t)[:, :3].float()
        return self.weight * (out - noise).square().mean()
