"""Where a pool of samples is compared with the shots: projection, rejection, nearest neighbours.

Vashist et al., "Rejection Sampling IMLE", ECCV 2024, arXiv:2409.17439, and its official code.

Shape legend: n shots, m pool members, p projected width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from baselines.common.choices import check_choices
from fsig_bench.api import Perceptual, Trunk, generator

Project = Callable[[Tensor], Tensor]


class Perceives(Perceptual, Trunk, Protocol):
    """A perceptual network as an embedding and map by map."""


def random_matrix(
    height: int, width: int, device: torch.device, seed: int, *purpose: str | int
) -> list[Tensor]:
    """A Gaussian matrix [height, width] with rows of unit length, in blocks of rows.

    Drawn on the CPU, so that devices agree, and kept on `device`.
    """
    blocks, block = [], 1 << 14
    for j, start in enumerate(range(0, height, block)):
        g = generator(seed, "rs_imle", "projection", *purpose, j)
        part = torch.randn(min(block, height - start), width, generator=g)
        blocks.append((part / part.norm(dim=1, keepdim=True)).to(device))
    return blocks


def random_rows(features: Tensor, matrix: Sequence[Tensor]) -> Tensor:
    """Features [n, e] times a matrix [e, p] in blocks of rows."""
    parts = features.split([len(block) for block in matrix], 1)
    out = features.new_zeros(len(features), matrix[0].shape[1])
    for part, block in zip(parts, matrix, strict=True):
        out += part @ block
    return out


def exactly(x: Tensor) -> torch.autocast:
    """Outside autocast: distances of near neighbours drown in a half's rounding."""
    return torch.autocast(x.device.type, enabled=False)


@dataclass(frozen=True, kw_only=True)
class Projection:
    """The space of the search."""

    kind: Literal["l2", "lpips", "combined"]
    width: int
    normalise: bool  # rows to length 1, so that distances lie in [0, 2]

    def __post_init__(self) -> None:
        check_choices(self)

    def drawn(self, perceptual: Perceives, image: Tensor, seed: int) -> Project:
        """[n, 3, h, w] in [-1, 1] -> [n, p], its matrices drawn once, for images like `image`.

        They stay on the image's device: 0.6 GiB at 256 px, 8.7 GiB where LPIPS is searched.
        """
        width = self.width // 2 if self.kind == "combined" else self.width
        spaces: list[Project] = []
        if self.kind != "l2":
            spaces.append(layerwise(perceptual, image, width, seed))
        if self.kind != "lpips":
            matrix = random_matrix(image[0].numel(), width, image.device, seed, "l2")
            spaces.append(lambda images: random_rows(images.flatten(1), matrix))

        def project(images: Tensor) -> Tensor:
            with exactly(images):
                parts = [space(images.float()) for space in spaces]
                if self.normalise:
                    parts = [torch.nn.functional.normalize(p, dim=1) for p in parts]
                return torch.cat(parts, 1)

        return project


def layer_widths(sizes: Sequence[int], width: int) -> list[int]:
    """`width` shared out among layers by their sizes; the last takes what is left (the code)."""
    first = [int(size * (width / sum(sizes))) for size in sizes[:-1]]
    return [*first, width - sum(first)]


def layerwise(perceptual: Perceives, image: Tensor, width: int, seed: int) -> Project:
    """LPIPS features, each layer through a matrix of its own.

    As in the code, layers are not divided by their area, as they are in the loss: large ones count
    for more.
    """
    maps = perceptual.trunk(image[:1])
    sizes, areas = [m[0].numel() for m in maps], [m[0, 0].numel() for m in maps]
    matrices = [
        random_matrix(size, w, image.device, seed, "lpips", layer)
        for layer, (size, w) in enumerate(zip(sizes, layer_widths(sizes, width), strict=True))
    ]

    def rows(images: Tensor) -> Tensor:
        layers = zip(perceptual.perceive(images).split(sizes, 1), areas, matrices, strict=True)
        return torch.cat([random_rows(math.sqrt(a) * f, m) for f, a, m in layers], 1)

    # An image's features take 32 MB at 256 px.
    return lambda images: torch.cat([rows(part) for part in images.split(32)])


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances [n, m] by a matrix product (not squared)."""
    with exactly(a):
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
