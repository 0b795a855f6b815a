"""Intra-LPIPS: how unlike each other are the samples that come from the same shot?

Ojha et al., "Few-shot Image Generation via Cross-domain Correspondence", CVPR 2021,
arXiv:2104.06820; LPIPS: Zhang et al., CVPR 2018, arXiv:1801.03924. B-LPIPS: Seo et al., "LFS-GAN",
ICCV 2023, arXiv:2308.11917.

Each sample goes to the shot nearest in LPIPS; within a cluster the mean LPIPS over all pairs; then
the mean over clusters. 0 means copies of one image per cluster; a source model that was not
adapted scores high, so higher is not better by itself.

LPIPS is a squared Euclidean distance in z = concat_l sqrt(w_l / (H_l W_l)) unit(f_l), so all pairs
come from one Gram matrix instead of n (n - 1) network passes. Trunks without LPIPS' trained
channel weights (the mini suite's) use w_l = 1 / layers: the mean over layers of the squared
distance between unit-length channel vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import (
    Evidence,
    InputRange,
    mean_pairwise,
    mean_pairwise_of_parts,
    shuffled,
    squared_distances,
)

AT_ONCE = 1000  # members of a cluster whose rows are held together


@dataclass(frozen=True, kw_only=True)
class IntraLPIPS:
    """`intra_lpips` under named rules; the published ones are conf/metric/intra_lpips_*.yaml."""

    protocol: str
    max_assigned: int | None  # samples that are assigned to shots; None: all
    cluster_size: int  # members used per cluster
    pick: Literal["random", "first"]  # which samples and members, where there are more
    empty: Literal["drop", "zero"]  # clusters with fewer than two members
    fake_range: Literal["signed", "unit"]  # unit: samples reach the trunk in [0, 1], as in CRDI
    compare: Literal["pairs", "shot"]  # shot: members against their shot (Phasic's text)
    # Of the shots where samples are assigned to them; WeditGAN's code hands them over as bytes.
    shots_range: InputRange = "signed"

    needs: ClassVar[frozenset[str]] = frozenset({"shots", "perceptual"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the clusters' sizes and means, their spread, and B-LPIPS."""

        def rows(part: Tensor) -> Tensor:
            return evidence.perceive(part, input_range=self.fake_range)

        fake, k = evidence.fake, len(evidence.shots)
        order = torch.arange(len(fake))
        if self.pick == "random":
            order = shuffled(fake, evidence.seed)
        order = order[: self.max_assigned]
        if (self.fake_range, self.shots_range) != ("signed", "signed"):
            z = evidence.perceive(evidence.shots, input_range=self.shots_range)
            parts = (fake[part] for part in order.split(evidence.batch_size))
            nearest = torch.cat([squared_distances(rows(p), z) for p in parts]).argmin(1)
        else:
            nearest = evidence.shot_distances("fake")[order].argmin(1)
        by_cluster, sizes = {}, [int((nearest == c).sum()) for c in range(k)]
        for c in range(k):
            members = order[nearest == c][: self.cluster_size]
            if len(members) < (1 if self.compare == "shot" else 2):
                continue
            own = (rows(fake[part]) for part in members.split(evidence.batch_size))
            if self.compare == "shot":
                shot = evidence.perceive(evidence.shots[c : c + 1])
                by_cluster[c] = float(torch.cat([squared_distances(p, shot) for p in own]).mean())
            elif len(members) <= AT_ONCE:
                by_cluster[c] = mean_pairwise(torch.cat(list(own)))
            else:
                by_cluster[c] = mean_pairwise_of_parts(own)
        means = list(by_cluster.values())
        empty = k - len(by_cluster)
        scored = means + ([0.0] * empty if self.empty == "zero" else [])
        value = math.fsum(scored) / len(scored) if scored else float("nan")
        spread = torch.tensor(scored).std().item() if len(scored) > 1 else 0.0
        share = {c: sizes[c] / len(nearest) + 1e-5 for c in by_cluster}
        return {
            "value": value,
            **evidence.counts(evidence.perceptual),
            "protocol": self.protocol,
            "empty_clusters": empty,
            "cluster_sizes": sizes,
            "cluster_means": {str(c): round(v, 6) for c, v in by_cluster.items()},
            "spread_over_clusters": spread,
            "b_lpips": -sum(share[c] * math.log10(share[c]) * v for c, v in by_cluster.items()),
        }
