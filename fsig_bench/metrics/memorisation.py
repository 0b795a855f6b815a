"""Does a method replay its shots?

The distance of each sample to its nearest shot in LPIPS (the nearest-LPIPS check of Zhu et al.,
"Few-shot Image Generation with Diffusion Models", arXiv:2211.03264), and the share of samples that
are closer to a shot than real images hardly ever are. Copies score 1.

The threshold is the distance below which a small share of all pairs of a real image and a shot lie.
So it means the same for any number of shots and where shots repeat: each shot takes in that share
of real images, and k unlike shots take in about k times as many. A quantile of the distances to the
*nearest* shot does not: with one shot it is so wide that other faces count as copies, and it grows
narrower with every shot. docs/instrument.md has the curve on planted near-copies. Where the
reference holds the shots themselves, these are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence
from fsig_bench.metrics.blocks import exact_distances

SAME = 1e-9  # LPIPS of an image with itself, at most; a grey level of one pixel makes 3e-8 or more


def copy_threshold(distances: Tensor, quantile: float) -> float:
    """The distance below which only `quantile` of pairs of a real image and a shot [m, k] lie."""
    return float(np.quantile(distances.double().numpy(), quantile))  # torch's takes 2^24 numbers


def doubt(distances: Tensor, *, threshold: float, quantile: float, wide: float) -> str | None:
    """Why a threshold says little; None if it is sound.

    Args:
        distances: of real images to shots [m, k].
        threshold: that of `copy_threshold`.
        quantile: as there.
        wide: the share of the median distance beyond which a threshold is too wide.
    """
    typical = float(distances.double().median())
    if threshold > wide * typical:
        return (
            f"the threshold {threshold:.3f} is {threshold / max(typical, 1e-12):.2f} of the median "
            f"distance between real images and shots, {typical:.3f}: images that are merely alike "
            "count as copies"
        )
    if (rare := quantile * distances.numel()) < 1:
        return (
            f"{len(distances)} real images make {distances.numel()} pairs with the shots, of which "
            f"a share of {quantile:g} is {rare:.1f}: the threshold is their smallest distance"
        )
    return None


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

    quantile: float  # of pairs of a real image and a shot
    wide: float  # of their median distance: a threshold beyond it is doubted

    needs: ClassVar[frozenset[str]] = frozenset({"real", "shots", "perceptual"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the threshold, the real images' own rate, and a warning where it says little.

        Real images that equal a shot take no part; where there are no others there is no value.
        """
        real, fake = (evidence.shot_distances(role) for role in ("real", "fake"))
        equal = real.min(1).values <= SAME
        real, counts = real[~equal], evidence.counts(evidence.perceptual)
        if not len(real):
            reason = "needs real images that equal no shot, and the reference has none"
            return {"value": math.nan, "reason": reason, **counts}
        threshold = copy_threshold(real, self.quantile)

        def rate(distances: Tensor) -> float:
            return float((distances.min(1).values <= threshold).double().mean())

        left_out = {"real_equal_to_shots": int(equal.sum())} if equal.any() else {}
        return {
            "value": rate(fake),
            **counts,
            **left_out,
            "threshold": threshold,
            "quantile": self.quantile,
            "of_real": rate(real),
            "warning": doubt(real, threshold=threshold, quantile=self.quantile, wide=self.wide),
        }


def authentic(*, train: Tensor, fake: Tensor) -> Tensor:
    """Bool [n]: fake i is farther from its nearest training row j than j is from all others.

    Alaa et al., "How Faithful is your Synthetic Data?", ICML 2022, arXiv:2102.08921, section 3.3;
    strictly, as in the authors' code, so that a copy is never authentic, even where rows repeat.

    Raises:
        ValueError: fewer than two training rows.
    """
    if len(train) < 2:
        raise ValueError(f"{len(train)} training images; authenticity needs at least 2")
    between = exact_distances(train, train).fill_diagonal_(math.inf)
    nearest = exact_distances(fake, train).min(1)
    return nearest.values > between.min(1).values[nearest.indices]


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
