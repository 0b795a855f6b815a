"""Kernel Inception Distance.

Binkowski et al., "Demystifying MMD GANs", ICLR 2018, arXiv:1801.01401.

    KID = MMD^2_u(real, fake),   k(x, y) = (gamma x.y + coef)^degree,   gamma = 1/d

The full U-statistic over all images instead of random subsets: no draws, lower variance. Unbiased,
so small negative values are valid. Lower is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fsig_bench.metrics.base import Evidence


def kernel_sum(a: Tensor, b: Tensor, *, degree: int, coef: float, block: int = 1024) -> Tensor:
    """Sum of k over all pairs of rows of a [n, d] and b [m, d], blockwise."""
    total = torch.zeros((), dtype=torch.float64)
    for rows in a.split(block):
        total += (rows @ b.T / a.shape[1] + coef).pow(degree).sum()
    return total


def mmd2_unbiased(*, real: Tensor, fake: Tensor, degree: int = 3, coef: float = 1.0) -> float:
    """The U-statistic of squared MMD for features real [m, d], fake [n, d].

    Raises:
        ValueError: fewer than two rows, or values that are not finite.
    """
    for role, x in (("real", real), ("fake", fake)):
        if len(x) < 2:
            raise ValueError(f"{role} needs at least 2 images, got {len(x)}")
        if not torch.isfinite(x).all():
            raise ValueError(f"{role} features hold NaN or infinity")
    x, y = real.double(), fake.double()

    def within(z: Tensor) -> Tensor:
        diagonal = (z.square().sum(1) / z.shape[1] + coef).pow(degree).sum()
        pairs = kernel_sum(z, z, degree=degree, coef=coef) - diagonal
        return pairs / (len(z) * (len(z) - 1))

    cross = kernel_sum(x, y, degree=degree, coef=coef) / (len(x) * len(y))
    return float(within(x) + within(y) - 2 * cross)


@dataclass(frozen=True, kw_only=True)
class KID:
    """`kid` in the extractor's feature space."""

    degree: int
    coef: float

    needs: ClassVar[frozenset[str]] = frozenset({"real"})

    def __call__(self, evidence: Evidence) -> dict[str, Any]:
        """Not multiplied by 1000."""
        value = mmd2_unbiased(
            real=evidence.features("real"),
            fake=evidence.features("fake"),
            degree=self.degree,
            coef=self.coef,
        )
        return {"value": value, **evidence.counts()}
