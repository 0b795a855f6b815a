"""Clipped Density and Clipped Coverage: which share of the samples is good, or would do?

Salvy, Talbot & Thirion, ICLR 2026, arXiv:2507.01761; in the paper's text we could read the summary
only, so the formulas are those of the authors' code. A ball around each of m real images reaches
its k-th nearest other one.

Clipped Density: balls wider than the median are shrunk to it, so that no outlier's ball takes in
everything. A sample that lies in c balls counts min(c / k, 1); the mean over samples is divided by
the mean that the real images reach themselves, and cut at 1. Replacing a share of good samples by
bad ones lowers it by that share.

Clipped Coverage: a real image whose ball holds c samples counts min(c / k, 1), so that no crowd in
one place makes up for an empty one. The mean over real images is turned into a share by theory: if
g of n samples come from the real distribution and the others lie in no ball, c is beta-binomial
with (g, k, m - k) whatever the distribution, and the value is the g / n whose expectation is the
mean that was found.

What they see: bad samples (the first) and missing kinds of images (the second) as shares, 1 for
fresh real images up to chance, comparable between targets and numbers of samples. What they do not:
how bad a bad sample is, since all outside the balls are alike; a small fault of every sample that
keeps it in a ball; copying of the shots, which the first rewards. The second cannot tell shares
apart where samples are many times as many as the reference's images, since every ball is then full:
by simulation it is sharp to four times as many and lost at eight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence, block_error
from fsig_bench.metrics.blocks import block_of, distances_about, radii

SHARP = 4  # samples a real image, at most, for Clipped Coverage to tell shares apart

Which = Literal["clipped_density", "clipped_coverage"]


def expected_coverage(*, m: int, n: int, k: int) -> np.ndarray:
    """The mean clipped count over k for 0, 1, ..., n samples of the real distribution, [n + 1].

    The mass of a ball that reaches the k-th nearest of m - 1 others is Beta(k, m - k), so that the
    g-th sample raises the clipped count by P(J < k and it lies in the ball), J being beta-binomial
    (g - 1, k, m - k).
    """
    before = np.arange(n)
    raised = np.zeros(n)
    for j in range(k):
        chance = stats.betabinom.pmf(j, before, k, m - k)
        raised += chance * (k + j) / (m + before)
    return np.concatenate([[0.0], np.cumsum(raised)]) / k


@dataclass(frozen=True, kw_only=True)
class Balls:
    """The real images with what does not depend on samples; rows are float64."""

    k: int
    real: Tensor  # [m, d]
    radius: Tensor  # [m], to the k-th nearest other real image
    clipped: Tensor  # [m], at most their median
    own_density: float  # the clipped count over k that real images reach themselves

    @classmethod
    def around(cls, real: Tensor, k: int) -> Balls:
        """The balls of features [m, d].

        Raises:
            ValueError: k or fewer images, or values that are not finite.
        """
        _check("real", real, k)
        x = real.double()
        radius = radii(x, k)
        clipped = radius.clamp(max=float(torch.quantile(radius, 0.5)))
        counts = -torch.ones(len(x), dtype=torch.float64)  # each lies in its own ball
        for part, reach in _rows(x, clipped, columns=len(x)):
            limit = reach[:, None]
            counts += (distances_about(part, x, limit) <= limit).sum(0)
        own = float((counts / k).clamp(max=1).mean())
        return cls(k=k, real=x, radius=radius, clipped=clipped, own_density=own)

    def values(self, fake: Tensor) -> dict[str, float]:
        """Both values for features [n, d].

        Raises:
            ValueError: k or fewer samples, or values that are not finite.
        """
        _check("fake", fake, self.k)
        y = fake.double()
        counts, covered = torch.zeros(len(y), dtype=torch.float64), 0.0
        parts = _rows(self.real, self.clipped, self.radius, columns=len(y))
        for part, reach, radius in parts:
            distances = distances_about(part, y, reach[:, None], radius[:, None])
            counts += (distances <= reach[:, None]).sum(0)
            held = (distances < radius[:, None]).sum(1)
            covered += float(held.clamp(max=self.k).sum())
        density = float((counts / self.k).clamp(max=1).mean()) / self.own_density
        expected = expected_coverage(m=len(self.real), n=len(y), k=self.k)
        found = covered / self.k / len(self.real)
        share = float(np.interp(found, expected, np.arange(len(y) + 1) / len(y)))
        return {"clipped_density": min(density, 1.0), "clipped_coverage": share}


def _check(role: str, x: Tensor, k: int) -> None:
    if len(x) <= k:
        raise ValueError(f"{role} has {len(x)} images; k={k} neighbours need at least {k + 1}")
    if not torch.isfinite(x).all():
        raise ValueError(f"{role} features hold NaN or infinity")


def _rows(*whole: Tensor, columns: int) -> zip[tuple[Tensor, ...]]:
    """Parts of the same rows, few enough for a matrix with as many columns."""
    return zip(*(x.split(block_of(columns)) for x in whole), strict=True)


@dataclass(frozen=True, kw_only=True)
class Clipped:
    """One of the two; they share one computation."""

    which: Which
    k: int
    blocks: int  # of samples, for the standard error of a single run

    needs: ClassVar[frozenset[str]] = frozenset({"real", "features", "neighbours"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also k, the error of a single run, and a warning where samples are too many."""
        fake = evidence.features("fake")

        def compute() -> tuple[Balls, dict[str, float]]:
            balls = Balls.around(evidence.features("real"), self.k)
            return balls, balls.values(fake)

        balls, values = evidence.memoised(f"clipped/{self.k}", compute)
        error = block_error(lambda part: balls.values(part)[self.which], fake, self.blocks)
        m, n, warning = len(balls.real), len(fake), None
        if self.which == "clipped_coverage" and n > SHARP * m:
            warning = (
                f"{n} samples fill the balls of {m} reference images whatever they cover: take at "
                f"most {SHARP * m}"
            )
        return {
            "value": values[self.which],
            **evidence.counts(),
            "k": self.k,
            "warning": warning,
            "error": error,
        }
