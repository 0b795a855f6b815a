"""Statistics of a style generator's W space, and its whitened P-space.

Karras et al., arXiv:1912.04958, appendix D (mean and spread of w); Zhu et al., "Improved StyleGAN
Embedding", arXiv:2012.09036, section 3 (P-space: w before its last activation; there it is close to
normal, and PCA whitens it).

Shape legend: n codes, d style width; a leading shape [...] is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.common.stylegan2 import StyleGenerator, act, act_inverse
from fsig_bench.api import generator


@dataclass(frozen=True)
class WSpace:
    """Of mapped z ~ N(0, I)."""

    mean: Tensor  # w_bar [d]
    std: float  # sqrt(E ||w - w_bar||^2): one number, as in the StyleGAN2 projector
    std_dim: Tensor  # [d]
    p_mean: Tensor  # [d]
    p_basis: Tensor  # columns are principal directions [d, d]
    p_scale: Tensor  # sqrt of their variances [d]

    def whiten(self, w: Tensor) -> Tensor:
        """V = Lambda^-1/2 C^T (x - mu), x = act^-1(w), [..., d]: about N(0, I) for the prior."""
        return (act_inverse(w) - self.p_mean) @ self.p_basis / self.p_scale

    def colour(self, v: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return act((v * self.p_scale) @ self.p_basis.T + self.p_mean)

    def strangeness(self, w: Tensor) -> Tensor:
        """||v||^2 / d, [...]: about 1 for codes of the prior, more off its manifold."""
        return self.whiten(w).square().mean(-1)


@torch.no_grad()
def w_space(net: StyleGenerator, count: int, seed: int, device: str = "cpu") -> WSpace:
    """From `count` mapped codes; the covariance wants many more than d of them."""
    z = torch.randn(count, net.arch.style_dim, generator=generator(seed, "w_space"))
    w = net.mapping(z.to(device)).double()
    mean = w.mean(0)
    x = act_inverse(w)
    p_mean = x.mean(0)
    variance, basis = torch.linalg.eigh((x - p_mean).T @ (x - p_mean) / (count - 1))
    # A direction without spread would blow whitened codes up.
    scale = variance.clamp(min=float(variance[-1]) * 1e-6).sqrt()
    return WSpace(
        mean=mean.float(),
        std=float((w - mean).square().sum(1).mean().sqrt()),
        std_dim=w.std(0).float(),
        p_mean=p_mean.float(),
        p_basis=basis.float(),
        p_scale=scale.float(),
    )
