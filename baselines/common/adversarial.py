"""Losses and draws that trainings of a style generator against its critic share.

Karras et al., StyleGAN2, CVPR 2020, arXiv:1912.04958, section 3 and appendix B; style mixing from
arXiv:1812.04948, section 3.1; R1 from Mescheder et al., arXiv:1801.04406, Eq. 9.

Shape legend: n images, l styles, d style width, r side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.stylegan2 import StyleGenerator


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic loss of a critic's logits, of any shapes: each is averaged by itself."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating loss of a critic's logits for generated images."""
    return F.softplus(-fake).mean()


def mixed_styles(net: StyleGenerator, n: int, probability: float, g: torch.Generator) -> Tensor:
    """w+ [n, l, d] of one mapped z, or with `probability` of two, changing at a random layer."""
    d, styles = net.arch.style_dim, net.arch.num_styles
    device = net.const.device
    first, second = net.mapping(torch.randn(2 * n, d, generator=g).to(device)).chunk(2)
    cross = torch.randint(1, styles, (n,), generator=g)
    cross[torch.rand(n, generator=g) >= probability] = styles
    low = (torch.arange(styles)[None, :] < cross[:, None])[:, :, None].to(device)
    return torch.where(low, first[:, None], second[:, None])


def r1_penalty(critic: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Mean over images of the squared gradient norm at real images [n, c, h, w].

    `critic` gives one logit an image, [n].
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """||J_w^T y|| of each image [n], y a random image whose energy does not depend on its size.

    Args:
        images: [n, c, h, w], made from `styles`.
        styles: w+ [n, l, d]; the squared norm is summed over d and averaged over layers.
        noise: N(0, 1) in the images' shape.
    """
    y = noise / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * y).sum(), styles, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_penalty(lengths: Tensor, mean: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """(Mean squared distance of path lengths from their running mean, that mean as it is now).

    arXiv:1912.04958, Eq. 4. As in common code, gradients flow through the new mean too.
    """
    now = mean + decay * (lengths.mean() - mean)
    return (lengths - now).square().mean(), now.detach()
