"""Frechet distance between Gaussians fitted to features.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, arXiv:1706.08500.

    FD = |mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2))

The trace of the root is taken from symmetric forms, never by a matrix square root of a product:
eigvalsh(R S_f R) with R = S_r^(1/2), or, when a set has fewer images than dimensions, the nuclear
norm of A B^T of the centred features (Mathiasen & Hvilshoej, arXiv:2009.14075), which is exact for
rank-deficient covariances. Lower is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fsig_bench.metrics.base import Evidence


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over features, float64, that add up over shards: n, sum x [d], sum x x^T [d, d]."""

    n: int
    total: Tensor
    outer: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        x = features.double()
        return cls(n=len(x), total=x.sum(0), outer=x.T @ x)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            n=self.n + other.n, total=self.total + other.total, outer=self.outer + other.outer
        )

    @property
    def mean(self) -> Tensor:
        return self.total / self.n

    @property
    def cov(self) -> Tensor:
        """Covariance with n - 1."""
        return (self.outer - torch.outer(self.total, self.total) / self.n) / (self.n - 1)


def psd_root(cov: Tensor) -> Tensor:
    """The symmetric square root of a covariance [d, d]."""
    values, vectors = torch.linalg.eigh(cov)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def gaussian_distance(
    *,
    real_mean: Tensor,
    real_cov: Tensor,
    real_root: Tensor | None,
    fake_mean: Tensor,
    fake_cov: Tensor,
) -> float:
    """The distance from means [d] and covariances [d, d]; `real_root` may be cached."""
    root = psd_root(real_cov) if real_root is None else real_root
    inner = root @ fake_cov @ root
    cross = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    square = (real_mean - fake_mean).square().sum()
    return float(square + real_cov.trace() + fake_cov.trace() - 2 * cross)


def frechet_distance(*, real: Tensor, fake: Tensor, real_root: Tensor | None = None) -> float:
    """The distance between features real [m, d] and fake [n, d], in float64.

    `real_root` is the root of real's covariance, if it is at hand; only the full form uses it.

    Raises:
        ValueError: fewer than two rows, unlike dimensions, or values that are not finite.
    """
    for role, x in (("real", real), ("fake", fake)):
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"{role} features need shape [n >= 2, d], got {tuple(x.shape)}")
        if not torch.isfinite(x).all():
            raise ValueError(f"{role} features hold NaN or infinity")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real has {real.shape[1]} dimensions and fake {fake.shape[1]}")
    a, b = (x.double() - x.double().mean(0) for x in (real, fake))
    a, b = a / (len(a) - 1) ** 0.5, b / (len(b) - 1) ** 0.5
    square = (real.double().mean(0) - fake.double().mean(0)).square().sum()
    if min(len(a), len(b)) <= real.shape[1]:
        cross = torch.linalg.svdvals(a @ b.T).sum()  # tr (S_r S_f)^(1/2) = |A B^T|_*
        return float(square + a.square().sum() + b.square().sum() - 2 * cross)
    zero = torch.zeros_like(square)
    return float(square) + gaussian_distance(
        real_mean=zero, real_cov=a.T @ a, real_root=real_root, fake_mean=zero, fake_cov=b.T @ b
    )


@dataclass(frozen=True, kw_only=True)
class Frechet:
    """`fd`: the Frechet distance in the extractor's feature space."""

    needs: ClassVar[frozenset[str]] = frozenset({"real"})

    def __call__(self, evidence: Evidence) -> dict[str, Any]:
        """Warns when a covariance cannot have full rank."""
        real, fake = evidence.features("real"), evidence.features("fake")
        d, n = real.shape[1], min(len(real), len(fake))
        warning = f"{n} images for {d} dimensions: biased upwards" if n <= d else None
        root = None
        if n > d:  # kept with the reference: its features never change
            root = evidence.of_real("root", lambda: psd_root(Moments.of(real).cov))
        value = frechet_distance(real=real, fake=fake, real_root=root)
        return {"value": value, **evidence.counts(), "dimensions": d, "rank_warning": warning}
