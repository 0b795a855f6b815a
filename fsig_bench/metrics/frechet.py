"""Frechet distance between Gaussians fitted to features.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, arXiv:1706.08500.

    FD = |mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2))

The trace of the root is taken from symmetric forms, never by a matrix square root of a product:
eigvalsh(L^T S_f L) with a factor S_r = L L^T, or, when a set has fewer images than dimensions, the
nuclear norm of A B^T of the centred features (Mathiasen & Hvilshoej, arXiv:2009.14075), which is
exact for rank-deficient covariances. Lower is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api import generator
from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence, block_error


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


def factor(cov: Tensor) -> Tensor:
    """L with L L^T = cov [d, d]: Cholesky's, or the symmetric root where cov is not definite."""
    lower, failed = torch.linalg.cholesky_ex(cov)
    if not failed:
        return lower
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.clamp(min=0).sqrt()


def gaussian_distance(
    *, real_mean: Tensor, real_cov: Tensor, fake_mean: Tensor, fake_cov: Tensor
) -> float:
    """The distance from means [d] and covariances [d, d]."""
    lower = factor(real_cov)
    inner = lower.T @ fake_cov @ lower  # has the eigenvalues of S_r S_f
    cross = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    square = (real_mean - fake_mean).square().sum()
    return float(square + real_cov.trace() + fake_cov.trace() - 2 * cross)


def frechet_distance(*, real: Tensor, fake: Tensor) -> float:
    """The distance between features real [m, d] and fake [n, d], in float64.

    Raises:
        ValueError: fewer than two rows, unlike dimensions, or values that are not finite.
    """
    for role, x in (("real", real), ("fake", fake)):
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"{role} features need shape [n >= 2, d], got {tuple(x.shape)}")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real has {real.shape[1]} dimensions and fake {fake.shape[1]}")
    sets = {"real": real.double(), "fake": fake.double()}
    for role, x in sets.items():
        if not torch.isfinite(x.sum(0)).all():  # a sum shows them all, and makes no copy
            raise ValueError(f"{role} features hold NaN or infinity")
    few, many = sorted(sets.values(), key=len)
    if len(few) <= few.shape[1]:
        return _low_rank_distance(few, many)
    a, b = Moments.of(few), Moments.of(many)
    return gaussian_distance(real_mean=a.mean, real_cov=a.cov, fake_mean=b.mean, fake_cov=b.cov)


def _low_rank_distance(few: Tensor, many: Tensor) -> float:
    """Tr (S_r S_f)^(1/2) = |A B^T|_* for centred rows A, B over the roots of n - 1; symmetric."""
    mean, other = few.mean(0), many.mean(0)
    a = (few - mean) / (len(few) - 1) ** 0.5
    product = many @ a.T  # centring one side is enough for the other: A's rows sum to zero,
    product -= product.mean(0)  # and B's mean leaves one number a column
    product /= (len(many) - 1) ** 0.5
    # Its singular values are those of its triangular factor, which is small.
    cross = torch.linalg.svdvals(torch.linalg.qr(product, mode="r")[1]).sum()
    spread = (many.norm().square() - len(many) * other.square().sum()) / (len(many) - 1)
    return float((mean - other).square().sum() + a.square().sum() + spread - 2 * cross)


@dataclass(frozen=True, kw_only=True)
class Frechet:
    """`fd`: the Frechet distance in the extractor's feature space."""

    blocks: int  # of samples, for the standard error of a single run

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Warns when a covariance cannot have full rank."""
        real, fake = evidence.features("real"), evidence.features("fake")
        d, n = real.shape[1], min(len(real), len(fake))
        warning = f"{n} images for {d} dimensions: biased upwards" if n <= d else None
        return {
            "value": frechet_distance(real=real, fake=fake),
            **evidence.counts(),
            "dimensions": d,
            "rank_warning": warning,
            "error": block_error(
                lambda part: frechet_distance(real=real, fake=part), fake, self.blocks
            ),
        }


def extrapolated(sizes: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """Intercept and slope of the least-squares line of values over 1 / size."""
    x = torch.tensor([[1.0, 1.0 / n] for n in sizes], dtype=torch.float64)
    y = torch.tensor(values, dtype=torch.float64)
    intercept, slope = torch.linalg.lstsq(x, y[:, None]).solution[:, 0].tolist()
    return intercept, slope


@dataclass(frozen=True, kw_only=True)
class FrechetInfinity:
    """`fd_infinity`: the distance for infinitely many samples, by extrapolation in 1 / n.

    Chong & Forsyth, "Effectively Unbiased FID and Inception Score", CVPR 2020, arXiv:1911.07023.
    The bias of the reference's own size stays. Through sizes with fewer samples than dimensions the
    line is not straight, and the value is too high: a warning says so.
    """

    points: int  # sizes, from `smallest` of the samples to all of them
    smallest: float
    draws: int  # of the subsets; the value is the mean of as many extrapolations

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Subsets without replacement, drawn from (seed, size, draw); the draws' standard error."""
        real, fake = evidence.features("real"), evidence.features("fake")
        shares = torch.linspace(self.smallest, 1, self.points).tolist()
        sizes = [max(2, round(share * len(fake))) for share in shares]

        def value(n: int, draw: int) -> float:
            g = generator(evidence.seed, "fd_infinity", n, draw)
            return frechet_distance(
                real=real, fake=fake[torch.randperm(len(fake), generator=g)[:n]]
            )

        whole = frechet_distance(real=real, fake=fake)  # the same in every draw
        fits = torch.tensor(
            [
                extrapolated(sizes, [whole if n == len(fake) else value(n, draw) for n in sizes])
                for draw in range(self.draws)
            ],
            dtype=torch.float64,
        )
        d, least = real.shape[1], min(sizes[0], len(real))
        warning = (
            f"from {least} images on, for {d} dimensions: biased upwards" if least <= d else None
        )
        error = float(fits[:, 0].std()) / self.draws**0.5 if self.draws > 1 else None
        return {
            "value": float(fits[:, 0].mean()),
            **evidence.counts(),
            "slope": float(fits[:, 1].mean()),
            "sizes": sizes,
            "rank_warning": warning,
            "error": None if error is None else {"draws": self.draws, "standard_error": error},
        }
