"""Kernels by name, and the squared maximum mean discrepancy (MMD) that they give.

Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012, Eq. 3: the U-statistic, unbiased, so that
small negative values are valid.

Shape legend: n and m images, d features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fsig_bench.metrics.blocks import block_of

MEDIAN_OF = 1000  # images, at most, whose pairs give the median distance


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A kernel whose width, if it has one, is decided; rows are float64."""

    between: Callable[[Tensor, Tensor], Tensor]  # rows [n, d] and [m, d] -> values [n, m]
    own: Callable[[Tensor], Tensor]  # rows [n, d] -> value of each with itself [n]
    width: float | None  # NaN where rows without any difference decide none


class Kernel(Protocol):
    """A frozen dataclass; its values stand in conf/metric/."""

    def fitted(self, rows: Tensor) -> Fitted:
        """The kernel for data like `rows` [n, d]."""
        ...


def median_distance(rows: Tensor) -> float:
    """The median distance between two of the rows [n, d]; evenly spread rows stand for many.

    Of distances above 0 where half are 0, as where one image is repeated often. NaN where no two
    rows differ.
    """
    step = max(1, -(-len(rows) // MEDIAN_OF))
    distances = torch.nn.functional.pdist(rows[::step].double())
    if len(distances) and (median := float(distances.median())) > 0:
        return median
    above = distances[distances > 0]
    return float(above.median()) if len(above) else math.nan


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """k(x, y) = exp(-|x - y|^2 / (2 width^2))."""

    width: float | None  # None: `median_distance` of the rows that it is fitted to

    def fitted(self, rows: Tensor) -> Fitted:
        """See `Kernel`."""
        width = median_distance(rows) if self.width is None else self.width

        def between(a: Tensor, b: Tensor) -> Tensor:
            squares = torch.addmm(b.square().sum(1), a, b.T, alpha=-2)
            return squares.add_(a.square().sum(1)[:, None]).clamp_(0).div_(-2 * width**2).exp_()

        def own(a: Tensor) -> Tensor:
            return torch.ones(len(a), dtype=a.dtype)

        return Fitted(between=between, own=own, width=width)


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """k(x, y) = (x.y / d + coef)^degree, the kernel of KID."""

    degree: int
    coef: float

    def fitted(self, rows: Tensor) -> Fitted:
        """See `Kernel`; it depends on the dimension only."""
        d = rows.shape[1]

        def between(a: Tensor, b: Tensor) -> Tensor:
            return (a @ b.T).div_(d).add_(self.coef).pow_(self.degree)

        def own(a: Tensor) -> Tensor:
            return (a.square().sum(1) / d + self.coef).pow(self.degree)

        return Fitted(between=between, own=own, width=None)


def mean_across(x: Tensor, y: Tensor, kernel: Fitted) -> float:
    """The mean kernel value between rows [m, d] and [n, d], float64, by blocks."""
    parts = (float(kernel.between(rows, y).sum()) for rows in x.split(block_of(len(y))))
    return math.fsum(parts) / (len(x) * len(y))


def mean_within(x: Tensor, kernel: Fitted) -> float:
    """The mean kernel value between unlike rows of [n >= 2, d], float64; each pair once."""
    block, total = block_of(len(x)), 0.0
    for start in range(0, len(x), block):
        rows, later = x[start : start + block], x[start + block :]
        total += float(kernel.between(rows, rows).sum() - kernel.own(rows).sum())
        total += 2 * float(kernel.between(rows, later).sum())
    return total / (len(x) * (len(x) - 1))


def checked(role: str, x: Tensor) -> Tensor:
    """The rows in float64.

    Raises:
        ValueError: fewer than two rows, or values that are not finite.
    """
    if len(x) < 2:
        raise ValueError(f"{role} needs at least 2 images, got {len(x)}")
    if not torch.isfinite(x).all():
        raise ValueError(f"{role} features hold NaN or infinity")
    return x.double()


def mmd2_to(real: Tensor, kernel: Fitted) -> Callable[[Tensor], float]:
    """The U-statistic between fixed rows [m, d] and the rows [n, d] that are handed over.

    Raises:
        ValueError: as `checked`, here and when the other rows come.
    """
    x = checked("real", real)
    fixed = mean_within(x, kernel)

    def value(fake: Tensor) -> float:
        y = checked("fake", fake)
        return fixed + mean_within(y, kernel) - 2 * mean_across(x, y, kernel)

    return value
