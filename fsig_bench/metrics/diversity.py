"""How unlike each other are the samples, whatever shot they come from?

The mean LPIPS over all pairs of a random part of the samples: the diversity score of image-to-image
work (Zhu et al., "BicycleGAN", NeurIPS 2017, arXiv:1711.11586, section 5.2), from one Gram matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence, in_batches, mean_pairwise, shuffled


@dataclass(frozen=True, kw_only=True)
class LPIPSDiversity:
    """`lpips_diversity`: copies of one image score 0. Higher is not better than `real`."""

    count: int  # samples that are compared, all pairs; chosen by pixels and seed

    needs: ClassVar[frozenset[str]] = frozenset({"perceptual"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also how many pairs."""
        picked = evidence.fake[shuffled(evidence.fake, evidence.seed)[: self.count]]
        z = in_batches(evidence.perceive, picked, evidence.batch_size)
        pairs = len(z) * (len(z) - 1) // 2
        return {"value": mean_pairwise(z), **evidence.counts(evidence.perceptual), "pairs": pairs}
