"""A seeded random network: features without weight files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn

from fsig_bench.networks.base import embed


@dataclass(frozen=True, kw_only=True)
class RandomTrunk:
    """A seeded random network: an exact oracle where no weights are wanted."""

    seed: int
    width: int

    name = "random-trunk"

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.seed}/{self.width}".encode()).hexdigest()

    @cached_property
    def _stages(self) -> list[nn.Conv2d]:
        widths = (3, self.width, 2 * self.width, 4 * self.width)
        stages = [nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths)]
        g = torch.Generator().manual_seed(self.seed)
        for conv in stages:
            for p in conv.parameters():
                p.requires_grad_(False).copy_(
                    torch.randn(p.shape, generator=g) / p[0].numel() ** 0.5
                )
        return stages

    def trunk(self, images: Tensor) -> list[Tensor]:
        """float32 [n, 3, h, w] in [-1, 1] -> three maps, each half as wide, differentiable."""
        out, x = [], images
        for conv in self._stages:
            x = conv(x).relu()
            out.append(x)
        return out

    def perceive(self, images: Tensor) -> Tensor:
        """float32 [n, 3, h, w] in [-1, 1] -> rows [n, e], differentiable."""
        return embed(self.trunk(images))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Mean and standard deviation of the deepest map's channels."""
        deep = self.trunk(images.float() / 127.5 - 1)[-1].flatten(2)
        # With n, not n - 1: an 8 px image leaves a map of a single place.
        return torch.cat([deep.mean(2), deep.std(2, correction=0)], 1)
