"""Where a pool of samples is compared with the shots: projection, rejection, nearest neighbours.

Vashist et al., "Rejection Sampling IMLE", ECCV 2024, arXiv:2409.17439, and its official code.

Shape legend: n shots, m pool members, p projected width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from baselines.common.choices import check_choices
from fsig_bench.seeding import generator

Perceive = Callable[[Tensor], Tensor]


def random_rows(features: Tensor, width: int, seed: int, *purpose: str) -> Tensor:
    """Features [n, e] times a Gaussian matrix [e, width] with rows of unit length.

    The matrix is drawn and used in blocks, so that a wide feature never needs it whole.
    """
    out, block = features.new_zeros(len(features), width), 1 << 14
    for j, part in enumerate(features.split(block, 1)):
        g = generator(seed, "rs_imle", "projection", *purpose, j)
        matrix = torch.randn(part.shape[1], width, generator=g)
        out += part @ (matrix / matrix.norm(dim=1, keepdim=True)).to(part.device)
    return out


@dataclass(frozen=True, kw_only=True)
class Projection:
    """The space of the search."""

    kind: Literal["l2", "lpips", "combined"]
    width: int
    normalise: bool  # rows to length 1, so that distances lie in [0, 2]

    def __post_init__(self) -> None:
        check_choices(self)

    def __call__(self, images: Tensor, perceive: Perceive, seed: int) -> Tensor:
        """[n, 3, h, w] in [-1, 1] -> [n, p]."""
        parts = []
        width = self.width // 2 if self.kind == "combined" else self.width
        if self.kind != "l2":
            parts.append(random_rows(perceive(images), width, seed, "lpips"))
        if self.kind != "lpips":
            parts.append(random_rows(images.flatten(1), width, seed, "l2"))
        if self.normalise:
            parts = [torch.nn.functional.normalize(p, dim=1) for p in parts]
        return torch.cat(parts, 1)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances [n, m] by a matrix product (not squared)."""
    squared = a.square().sum(1)[:, None] + b.square().sum(1)[None, :] - 2 * a @ b.T
    return squared.clamp(min=0).sqrt()


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Which pool members are too near to a shot."""

    eps: float  # 0: plain IMLE
    relative: bool  # eps in units of the shots' own spacing
    mode: Literal["exact", "knn5"]  # knn5: official; see `mask`
    chunk: int  # knn5 looks for neighbours in chunks of the pool

    def __post_init__(self) -> None:
        check_choices(self)

    def radius(self, targets: Tensor) -> float:
        """Of the balls around projected shots [n, p]; relative: times their median spacing."""
        if not self.relative or len(targets) < 2:
            return self.eps
        gaps = distances(targets, targets).fill_diagonal_(math.inf)
        return self.eps * float(gaps.min(1).values.median())

    def mask(self, gaps: Tensor, radius: float) -> Tensor:
        """Bool [m]: rejected, from distances [n, m] to balls of `radius`.

        exact: within eps of any shot. knn5: only members that are among a shot's five nearest of
        their chunk are tested, so that a crowd inside a ball is thinned, not emptied.
        """
        inside = gaps < radius
        if self.mode == "exact":
            return inside.any(0)
        out = torch.zeros_like(inside[0])
        for start in range(0, gaps.shape[1], self.chunk):
            part = gaps[:, start : start + self.chunk]
            near = part.topk(min(5, part.shape[1]), largest=False).indices
            tested = torch.zeros_like(part, dtype=torch.bool).scatter_(1, near, True)
            out[start : start + self.chunk] = (tested & inside[:, start : start + self.chunk]).any(
                0
            )
        return out


def nearest(gaps: Tensor, rejected: Tensor) -> Tensor:
    """Index of each shot's nearest survivor, int64 [n]; -1 where none survives."""
    left = gaps.masked_fill(rejected[None, :], math.inf)
    best = left.min(1)
    return torch.where(best.values.isinf(), -1, best.indices)


def pool_size(count: int, factor: float, round_to: int) -> int:
    """Pool members for `count` shots: factor times as many, rounded up (official code)."""
    return -(-int(factor * count) // round_to) * round_to
