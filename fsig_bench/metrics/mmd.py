"""Maximum mean discrepancy with a Gaussian kernel: CMMD on CLIP's features, and on the suite's own.

Jayasumana et al., "Rethinking FID", CVPR 2024, arXiv:2401.09603: CLIP ViT-L/14 at 336 px, unit
embeddings, a Gaussian kernel of width 10, shown a thousandfold. The authors' code computes the
V-statistic, which is biased upwards by about (1 - mean k) (1/m + 1/n); here it is the U-statistic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence, block_error
from fsig_bench.metrics.kernels import Kernel, mmd2_to


@dataclass(frozen=True, kw_only=True)
class MMD:
    """`cmmd` (CLIP, unit embeddings, width 10) and `mmd` (the suite's features, median width).

    `mmd`'s width is the median distance between images of the reference, so that no sample moves
    it; values of other references have other widths. With that width it sees differences of every
    kind at the scale of the reference's own spread: mean, spread, missing kinds of images. It does
    not see details much finer than the width, such as exact copies among many samples, and no
    distance in features sees what the network ignores.

    `cmmd`'s width is five times the largest distance that unit embeddings can have. There the
    kernel is 1 - |x - y|^2 / 200 to within 2e-4, and what is shown is 10 |difference of mean
    embeddings|^2 to a few percent: it sees what moves the mean of CLIP's embedding, with little
    noise at small n, and hardly sees a loss of diversity that leaves the mean where it is.
    """

    kernel: Kernel
    unit: bool  # whether each feature vector is divided by its length
    blocks: int  # of samples, for the standard error of a single run

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Not multiplied by 1000. Also the kernel's width."""
        real, fake = (self._rows(evidence.features(role)) for role in ("real", "fake"))
        kernel = self.kernel.fitted(real)
        if kernel.width is not None and math.isnan(kernel.width):
            reason = "needs a reference whose images differ, for the width of the kernel"
            return {"value": math.nan, "reason": reason, **evidence.counts()}
        value = mmd2_to(real, kernel)
        error = block_error(value, fake, self.blocks)
        return {"value": value(fake), **evidence.counts(), "width": kernel.width, "error": error}

    def _rows(self, features: Tensor) -> Tensor:
        return torch.nn.functional.normalize(features.double(), dim=1) if self.unit else features
