"""What the methods add to adversarial training, as functions of maps and weights.

Shape legend: n images, c channels, s side of a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.choices import check_choices


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Terms and their weights; the presets are conf/method/objective/{tgan,ada,...}.yaml."""

    iterations: int  # at the paper's scale
    augment: Literal["none", "adaptive"]
    augment_target: float  # of the mean sign of the critic's logits for shots
    augment_images: int  # over how many images p may go from 0 to 1, at the paper's scale
    frozen_layers: int  # blocks of the critic, from the image on
    ewc_weight: float  # lambda of EWC
    fisher_images: int  # generated images behind the Fisher information, at the paper's scale
    distance_weight: float  # CDC, on the divergence of similarities
    contrast_weight: float  # DCL, lambda 1, on the generator's maps
    critic_contrast_weight: float  # DCL, lambda 2, on the critic's maps
    temperature: float  # DCL
    relation_batch: int  # codes that CDC and DCL compare
    anchor_every: int  # CDC: every so many steps whole images near anchors; 0: whole images always
    anchor_std: float  # CDC, of z around an anchor
    patch_levels: int  # CDC: from how many maps of the critic one is drawn

    def __post_init__(self) -> None:
        check_choices(self)
        if self.relation_batch < 2:
            raise ValueError(f"relation_batch={self.relation_batch}: similarities need at least 2")
        if not 1 <= self.patch_levels <= 4:
            raise ValueError(f"patch_levels={self.patch_levels}: choose 1 to 4")

    @property
    def needs_source(self) -> bool:
        """Whether the frozen source generator draws in every step."""
        return self.distance_weight > 0 or self.contrast_weight > 0 or self.needs_source_images

    @property
    def needs_source_images(self) -> bool:
        return self.critic_contrast_weight > 0


def log_similarities(maps: Sequence[Tensor], layers: Sequence[int]) -> Tensor:
    """Image i's log-softmax of cosine similarities to the others, in its own layer, [n, n - 1].

    Args:
        maps: of all layers, each [n, c, s, s].
        layers: image i is compared in layers[i].
    """
    rows = []
    for i, layer in enumerate(layers):
        flat = maps[layer].flatten(1)
        cosine = F.cosine_similarity(flat[i : i + 1], flat)
        rows.append(torch.cat([cosine[:i], cosine[i + 1 :]]))
    return torch.stack(rows).log_softmax(1)


def distance_consistency(own: Tensor, source: Tensor) -> Tensor:
    """KL(source || own) of log similarities, averaged over all n (n - 1) entries.

    arXiv:2104.06820, Eq. 1 to 3; the paper sums over images, its code averages over entries.
    """
    return (source.exp() * (source - own)).mean()


def contrast(own: Tensor, partners: Tensor, others: Tensor, temperature: float) -> Tensor:
    """Mean of -log(e^{p/t} / (e^{p/t} + sum_j e^{o_j/t})), cosines p to the partner, o_j to others.

    Args:
        own: maps [n, ...].
        partners: the map [n, ...] that image i belongs to.
        others: what it is set against, [m, ...]; of all images the same.
        temperature: t.
    """
    a, b, c = (F.normalize(x.flatten(1), dim=1) for x in (own, partners, others))
    positive = (a * b).sum(1, keepdim=True)
    logits = torch.cat([positive, a @ c.T], 1) / temperature
    return -logits.log_softmax(1)[:, 0].mean()


def contrast_with_codes(own: Tensor, source: Tensor, temperature: float) -> Tensor:
    """`contrast` of each image with the source's of the same code, against those of other codes."""
    a, b = (F.normalize(x.flatten(1), dim=1) for x in (own, source))
    return F.cross_entropy(a @ b.T / temperature, torch.arange(len(own), device=own.device))


def weight_penalty(
    own: Mapping[str, Tensor], source: Mapping[str, Tensor], fisher: Mapping[str, Tensor]
) -> Tensor:
    """Sum of F_i (theta_i - theta_source_i)^2 (arXiv:2012.02780, Eq. 3)."""
    each = [(fisher[k] * (own[k] - source[k]).square()).sum() for k in fisher]
    return torch.stack(each).sum()
