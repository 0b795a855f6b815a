"""Sliced Wasserstein distance between features: a distance without a Gaussian in it.

Bonneel et al., JMIV 2015. On a direction theta the squared 2-Wasserstein distance of two sets of
numbers is the mean squared gap of their quantile functions. Averaged over random directions and
multiplied by the dimension d, so that shifting one set by m gives |m|^2, as the Frechet distance
does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api import generator
from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence

MOST = 1 << 24  # projections in memory at a time


def sliced_wasserstein2(*, real: Tensor, fake: Tensor, directions: Tensor) -> float:
    """Mean over unit `directions` [s, d] of d W_2^2 between real [m, d] and fake [n, d].

    Unlike sizes are compared at the quantiles of the larger set.

    Raises:
        ValueError: an empty set, or values that are not finite.
    """
    for role, x in (("real", real), ("fake", fake)):
        if not len(x) or not torch.isfinite(x).all():
            raise ValueError(f"{role} features {tuple(x.shape)} are empty or hold NaN or infinity")
    size = max(len(real), len(fake))
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size

    def quantiles(x: Tensor, towards: Tensor) -> Tensor:
        ordered = (x.double() @ towards.double().T).sort(0).values
        return ordered[(at * len(x)).long().clamp(max=len(x) - 1)]

    # All directions at once, unless the sorted projections would fill the memory.
    parts = directions.split(max(1, MOST // size))
    means = [(quantiles(real, p) - quantiles(fake, p)).square().mean() for p in parts]
    share = [len(p) / len(directions) for p in parts]
    return float(sum(s * m for s, m in zip(share, means, strict=True)) * real.shape[1])


@dataclass(frozen=True, kw_only=True)
class SlicedWasserstein:
    """`sliced_w2` in the extractor's feature space."""

    directions: int

    needs: ClassVar[frozenset[str]] = frozenset({"real", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """The directions depend on the dimension only, never on the run's seed."""
        real, fake = evidence.features("real"), evidence.features("fake")
        draw = torch.randn(self.directions, real.shape[1], generator=generator(0, "sliced_w2"))
        unit = draw / draw.norm(dim=1, keepdim=True)
        value = sliced_wasserstein2(real=real, fake=fake, directions=unit)
        return {"value": value, **evidence.counts(), "directions": self.directions}
