"""From k inverted codes to a generator: samplers S0 to S6, as functions of the image index.

S4 is RSSA's projection (Xiao et al., CVPR 2022, arXiv:2203.04121); S6 a closed form of WeditGAN's
offset (Duan et al., AAAI 2024). The others are ours: no inversion paper defines a few-shot sampler.

Shape legend: n images, k codes, l styles, d style width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from baselines.common.choices import check_choices
from baselines.common.stylegan2 import StyleGenerator
from baselines.common.wspace import WSpace
from fsig_bench.api import ImageGenerators, derive


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings that change the samples but not the codes."""

    kind: Literal["replay", "jitter", "simplex", "layer_mix", "rssa", "gaussian", "offset", "prior"]
    jitter: float  # S1, in standard deviations of w
    alpha: float  # S2, concentration; towards 0: replay
    mix_from: float  # S3, share of the layers that come from the prior
    rssa_scale: float  # S4, times RSSA's mask
    shrink: float  # S5, r: 0 the codes' covariance, 1 the prior's
    offset: float  # S6
    fresh_noise: bool  # noise maps of each image's own instead of one set for all

    def __post_init__(self) -> None:
        check_choices(self)
        if self.alpha <= 0 or not 0 <= self.shrink <= 1:
            raise ValueError(
                f"alpha={self.alpha}, shrink={self.shrink}: alpha above 0, shrink in [0, 1]"
            )


def rssa_mask(styles: int) -> Tensor:
    """RSSA's share of the projection per layer [l], by relative depth (0 coarse, 1 fine)."""
    table = ((3, 0.0), (7, 0.05), (9, 0.45), (11, 0.65), (14, 0.85))  # upper edge in 14ths
    depth = [14 * layer / styles for layer in range(styles)]
    return torch.tensor([next(m for edge, m in table if d < edge) for d in depth])


def onto_span(w: Tensor, codes: Tensor) -> Tensor:
    """Each w [n, l, d] on its layer's span of the codes [k, l, d], at its own length."""
    c = codes.permute(1, 2, 0).double()  # [l, d, k]
    gram = c.transpose(1, 2) @ c
    ridge = 1e-4 * torch.eye(len(codes), dtype=torch.float64, device=codes.device)
    coordinates = torch.linalg.solve(gram + ridge, c.transpose(1, 2) @ w.double().permute(1, 2, 0))
    q = (c @ coordinates).permute(2, 0, 1).float()
    return q * (w.norm(dim=2, keepdim=True) / q.norm(dim=2, keepdim=True).clamp(min=1e-8))


def shrunk_gaussian(
    codes: Tensor, space: WSpace, shrink: float, own: Tensor, prior: Tensor
) -> Tensor:
    """Draws [n, l, d] of N(mu_k, (1 - r) Sigma_k + r Sigma_W) in whitened P-space.

    Args:
        codes: [k, l, d]; with k = 1 Sigma_k is 0.
        space: the generator's W space.
        shrink: r.
        own: N(0, 1) [n, k]; combines the codes' deviations into draws of Sigma_k.
        prior: N(0, 1) [n, d]; one for all layers, since the prior's codes agree in all layers.
    """
    v = space.whiten(codes)
    mean = v.mean(0)
    spread = (v - mean) / max(len(codes) - 1, 1) ** 0.5
    draw = torch.einsum("nk,kld->nld", own, spread)
    return space.colour(mean + (1 - shrink) ** 0.5 * draw + shrink**0.5 * prior[:, None])


def draw_styles(
    s: Sampling,
    net: StyleGenerator,
    space: WSpace,
    codes: Tensor,
    draw: int,
    indices: Sequence[int],
) -> Tensor:
    """W+ [n, l, d] of the images `indices`, on the codes' device.

    Code i mod k is where image i starts. Random numbers are made on the CPU, so that devices agree.
    """
    k, styles, d = codes.shape
    random = ImageGenerators(draw, indices, "gan_inversion", s.kind)
    own = codes[[i % k for i in indices]]

    def randn(*shape: int) -> Tensor:
        return random.randn(*shape).to(codes.device)

    def prior() -> Tensor:
        return net.repeat(net.mapping(randn(d)))

    if s.kind == "replay":
        return own
    if s.kind == "jitter":
        return own + s.jitter * space.std_dim * randn(styles, d)
    if s.kind == "simplex":
        weights = [
            np.random.default_rng(derive(draw, "gan_inversion", "simplex", i)).dirichlet(
                [s.alpha] * k
            )
            for i in indices
        ]
        a = torch.tensor(np.stack(weights)).float().to(codes.device)
        return torch.einsum("nk,kld->nld", a, codes)
    if s.kind == "layer_mix":
        coarse = torch.arange(styles, device=codes.device) < s.mix_from * styles
        return torch.where(coarse[None, :, None], prior(), own)
    if s.kind == "rssa":
        w, m = prior(), s.rssa_scale * rssa_mask(styles).to(codes.device)[None, :, None]
        return m * onto_span(w, codes) + (1 - m) * w
    if s.kind == "gaussian":
        return shrunk_gaussian(codes, space, s.shrink, randn(k), randn(d))
    if s.kind == "offset":
        return prior() + s.offset * (codes.mean(0) - space.mean)
    return prior()
