"""Do two sets of images come from one distribution? A permutation test of the MMD.

Gretton et al., JMLR 13, 2012. Under that hypothesis the labels of the pooled images are
exchangeable, so the statistic of the true labels is one of many equally likely ones. The p-value is
(1 + the permutations that reach the statistic) / (1 + permutations): the true labels count as one,
which makes the level exact for any number of permutations (Phipson & Smyth, SAGMB 9, 2010). The
kernel's width may depend on the pooled images, which no permutation changes, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api import derive, generator
from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence
from fsig_bench.metrics.kernels import Kernel, checked

COLUMNS = 256  # permutations whose products are in memory at a time
ROUNDING = 1e-12  # of the kernel's mean: statistics so close count as equal


def permuted_statistics(
    gram: Tensor, n: int, *, permutations: int, draws: torch.Generator
) -> Tensor:
    """MMD^2 (U-statistic) of the true labels and of permuted ones, float64 [1 + permutations].

    Args:
        gram: kernel values between all pooled images [n + m, n + m], float64; the first n are one
            set, the others the other.
        n: at least 2, with m at least 2.
        permutations: how many.
        draws: the permutations come from it.
    """
    whole = len(gram)
    m = whole - n
    gram = gram - torch.diag(gram.diagonal())
    rows, total = gram.sum(1), gram.sum()
    found, done = [], 0
    while done < 1 + permutations:
        labels = torch.zeros(whole, min(COLUMNS, 1 + permutations - done), dtype=torch.float64)
        for column in range(labels.shape[1]):
            true = done + column == 0
            order = torch.arange(whole) if true else torch.randperm(whole, generator=draws)
            labels[order[:n], column] = 1
        first = (labels * (gram @ labels)).sum(0)
        across = labels.T @ rows - first
        second = total - first - 2 * across
        found.append(first / (n * (n - 1)) + second / (m * (m - 1)) - 2 * across / (n * m))
        done += labels.shape[1]
    return torch.cat(found)


def p_value(statistics: Tensor, scale: float) -> float:
    """The share of statistics [1 + permutations] that reach the first one, itself included.

    Args:
        statistics: see `permuted_statistics`; sums of several, permuted each on its own, are valid.
        scale: of the kernel's values: differences of rounding count as equal.
    """
    return float((statistics >= statistics[0] - ROUNDING * scale).double().mean())


@dataclass(frozen=True, kw_only=True)
class TwoSampleTest:
    """The test between two sets of feature vectors."""

    kernel: Kernel  # fitted to both sets together
    permutations: int
    images: int  # of either set, at most; chosen by the seed

    def __post_init__(self) -> None:
        if self.permutations < 1 or self.images < 2:
            raise ValueError(
                f"permutations={self.permutations}, images={self.images}: give at least 1 and 2"
            )

    def statistics(self, first: Tensor, second: Tensor, seed: int) -> tuple[Tensor, float]:
        """`permuted_statistics` of features [n, d] and [m, d], and the scale of the kernel.

        Raises:
            ValueError: fewer than two rows, or values that are not finite.
        """
        sets = [self._picked(x, seed, name) for x, name in ((first, "first"), (second, "second"))]
        pooled = torch.cat(sets)
        gram = self.kernel.fitted(pooled).between(pooled, pooled)
        gram = gram.nan_to_num(nan=1.0)  # no two images differ, so that no width is decided
        draws = generator(seed, "mmd_test", "permutations")
        values = permuted_statistics(
            gram, len(sets[0]), permutations=self.permutations, draws=draws
        )
        return values, float(gram.abs().mean())

    def _picked(self, x: Tensor, seed: int, name: str) -> Tensor:
        chosen = torch.randperm(len(x), generator=generator(seed, "mmd_test", name))
        return checked(f"the {name} set", x[chosen[: self.images]])

    def together(self, pairs: Sequence[tuple[Tensor, Tensor]], seed: int) -> float:
        """One p-value for several pairs of sets: labels move within a pair only.

        The statistic is the sum over pairs, the hypothesis that each pair is alike.
        """
        found = [self.statistics(a, b, derive(seed, "pair", i)) for i, (a, b) in enumerate(pairs)]
        whole = torch.stack([values for values, _ in found]).sum(0)
        return p_value(whole, sum(scale for _, scale in found))


@dataclass(frozen=True, kw_only=True)
class MMDTest(TwoSampleTest):
    """`mmd_test`: the p-value of "the samples come from the distribution of the reference".

    It sees whether there is a difference at all, with a known rate of false alarms, so that `real`
    and a perfect method score uniformly between 0 and 1. It does not say how large or of what kind
    the difference is: with enough images every method that adapts to a few shots is found out, and
    most score the smallest value, 1 / (1 + permutations). Its place is where that is in doubt, and
    between two methods. Samples must be drawn independently of each other; it is blind to copies of
    shots that are spread as real images are.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the statistic, and how many standard deviations of the permuted ones it lies off."""
        fake, real = evidence.features("fake"), evidence.features("real")
        values, scale = self.statistics(fake, real, evidence.seed)
        permuted = values[1:]
        spread = float(permuted.std()) if len(permuted) > 1 else 0.0
        return {
            "value": p_value(values, scale),
            **evidence.counts(),
            "mmd2": float(values[0]),
            "deviations": float(values[0] - permuted.mean()) / spread if spread else None,
            "permutations": self.permutations,
            "images": [min(len(x), self.images) for x in (fake, real)],
        }
