"""Does a method replay its shots?

The distance of each sample to its nearest shot in LPIPS (the nearest-LPIPS check of Zhu et al.,
"Few-shot Image Generation with Diffusion Models", arXiv:2211.03264), and the share of samples that
are closer to a shot than nearly all real images are. Fresh real images score about `quantile`,
copies 1. The threshold is calibrated on the reference, so it means the same for every domain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence


def copy_threshold(real_nearest: Tensor, quantile: float) -> float:
    """The distance below which only `quantile` of real images lie to their nearest shot [m]."""
    return float(torch.quantile(real_nearest.double(), quantile))


@dataclass(frozen=True, kw_only=True)
class NearestShot:
    """`nearest_shot`: mean LPIPS to the nearest shot. Small is suspicious, not good."""

    needs: ClassVar[frozenset[str]] = frozenset({"shots", "perceptual"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the 5th percentile, where copies hide."""
        nearest = evidence.shot_distances("fake").min(1).values
        low = float(torch.quantile(nearest, 0.05))
        return {
            "value": float(nearest.mean()),
            **evidence.counts(evidence.perceptual),
            "percentile_5": low,
        }


@dataclass(frozen=True, kw_only=True)
class CopyRate:
    """`copy_rate`: share of samples closer to a shot than the threshold."""

    quantile: float

    needs: ClassVar[frozenset[str]] = frozenset({"real", "shots", "perceptual"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the threshold."""
        real = evidence.shot_distances("real").min(1).values
        fake = evidence.shot_distances("fake").min(1).values
        threshold = copy_threshold(real, self.quantile)
        value = float((fake <= threshold).double().mean())
        return {
            "value": value,
            **evidence.counts(evidence.perceptual),
            "threshold": threshold,
            "quantile": self.quantile,
        }


def authentic(*, train: Tensor, fake: Tensor) -> Tensor:
    """Bool [n]: fake i is no nearer to its nearest training row j than j is to the others.

    Alaa et al., "How Faithful is your Synthetic Data?", ICML 2022, arXiv:2102.08921, section 3.3.

    Raises:
        ValueError: fewer than two training rows.
    """
    if len(train) < 2:
        raise ValueError(f"{len(train)} training images; authenticity needs at least 2")
    between = torch.cdist(train.double(), train.double()).fill_diagonal_(math.inf)
    nearest = torch.cdist(fake.double(), train.double()).min(1)
    return nearest.values >= between.min(1).values[nearest.indices]


@dataclass(frozen=True, kw_only=True)
class AuthPct:
    """`authpct`: share of samples that are authentic with respect to the shots; copies score 0.

    With k shots far apart even real images often count as copies: read it next to `real`'s number.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"two shots", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """In the extractor's feature space."""
        own = authentic(train=evidence.features("shots"), fake=evidence.features("fake"))
        return {"value": float(own.double().mean()), **evidence.counts()}
