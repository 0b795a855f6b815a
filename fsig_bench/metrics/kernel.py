"""Kernel Inception Distance.

Binkowski et al., "Demystifying MMD GANs", ICLR 2018, arXiv:1801.01401.

    KID = MMD^2_u(real, fake),   k(x, y) = (gamma x.y + coef)^degree,   gamma = 1/d

`kid` is the full U-statistic over all images: no draws, lower variance. `kid_subsets` is the mean
over random subsets, as clean-fid, torch-fidelity and AdAM's code have it. Both are unbiased, so
small negative values are valid. Lower is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api import generator
from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence, block_error

BLOCK = 512  # rows of a kernel matrix in memory at a time


def kernel_sum(a: Tensor, b: Tensor, *, degree: int, coef: float) -> Tensor:
    """Sum of k over all pairs of rows of a [n, d] and b [m, d], blockwise."""
    total = torch.zeros((), dtype=torch.float64, device=a.device)
    for rows in a.split(BLOCK):
        total += (
            torch.addmm(total.new_full((), coef), rows, b.T, alpha=1 / a.shape[1])
            .pow_(degree)
            .sum()
        )
    return total


def kernel_sum_within(z: Tensor, *, degree: int, coef: float) -> Tensor:
    """Sum of k over all ordered pairs of unlike rows of z [n, d]; each pair is computed once."""
    total = torch.zeros((), dtype=torch.float64, device=z.device)
    for start in range(0, len(z), BLOCK):
        rows, later = z[start : start + BLOCK], z[start + BLOCK :]
        diagonal = (rows.square().sum(1) / z.shape[1] + coef).pow(degree).sum()
        total += kernel_sum(rows, rows, degree=degree, coef=coef) - diagonal
        total += 2 * kernel_sum(rows, later, degree=degree, coef=coef)
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
        pairs = kernel_sum_within(z, degree=degree, coef=coef)
        return pairs / (len(z) * (len(z) - 1))

    cross = kernel_sum(x, y, degree=degree, coef=coef) / (len(x) * len(y))
    return float(within(x) + within(y) - 2 * cross)


@dataclass(frozen=True, kw_only=True)
class KID:
    """`kid` in the extractor's feature space."""

    degree: int
    coef: float
    blocks: int  # of samples, for the standard error of a single run

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Not multiplied by 1000."""
        real, fake = evidence.features("real"), evidence.features("fake")

        def value(part: Tensor) -> float:
            return mmd2_unbiased(real=real, fake=part, degree=self.degree, coef=self.coef)

        error = block_error(value, fake, self.blocks)
        return {"value": value(fake), **evidence.counts(), "error": error}


@dataclass(frozen=True, kw_only=True)
class KIDSubsets:
    """`kid` as a mean over random subsets of equal size."""

    degree: int
    coef: float
    subsets: int
    subset_size: int  # smaller sets are used whole
    max_images: int | None  # of either set, the first ones

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the standard deviation over subsets, which is not that of the estimate."""
        real = evidence.features("real")[: self.max_images]
        fake = evidence.features("fake")[: self.max_images]
        m = min(len(real), len(fake), self.subset_size)
        g = generator(evidence.seed, "kid_subsets")
        values = torch.tensor(
            [
                mmd2_unbiased(
                    real=real[torch.randperm(len(real), generator=g)[:m]],
                    fake=fake[torch.randperm(len(fake), generator=g)[:m]],
                    degree=self.degree,
                    coef=self.coef,
                )
                for _ in range(self.subsets)
            ]
        )
        spread = float(values.std()) if self.subsets > 1 else 0.0
        return {
            "value": float(values.mean()),
            **evidence.counts(),
            "subset_size": m,
            "spread_over_subsets": spread,
        }
