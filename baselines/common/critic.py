"""The residual critic of StyleGAN2, the generator's opponent.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020,
arXiv:1912.04958, section 4.1. Shape legend: n images, r their side, c channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.common.stylegan2 import GAIN, EqualLinear, StyleArchitecture, act, fir


def shift(x: Tensor, bias: Tensor) -> Tensor:
    """Maps [n, c, h, w] plus a bias per channel, in the maps' precision."""
    return x + bias.to(x.dtype)[:, None, None]


class Down(nn.Module):
    """Filter, then a strided convolution with equalised learning rate."""

    def __init__(self, c_in: int, c_out: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, side, side))
        self.scale = 1 / math.sqrt(c_in * side**2)
        self.pad = ((side + 1) // 2,) * 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(fir(x, self.pad), self.weight * self.scale, stride=2)


class EqualConv(nn.Module):
    """Convolution with equalised learning rate, bias, activation."""

    def __init__(self, c_in: int, c_out: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, side, side))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.scale = 1 / math.sqrt(c_in * side**2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight * self.scale, padding=self.weight.shape[-1] // 2)
        return act(shift(x, self.bias))


class CriticBlock(nn.Module):
    """Two convolutions and a filtered skip, halving the side (residual critic, section 4.1)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv, self.down = EqualConv(c_in, c_in, 3), Down(c_in, c_out, 3)
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.skip = Down(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (act(shift(self.down(self.conv(x)), self.bias)) + self.skip(x)) / GAIN


class Critic(nn.Module):
    """Images [n, 3, r, r] -> realness logits [n]."""

    def __init__(self, arch: StyleArchitecture, group: int = 4) -> None:
        super().__init__()
        ch, sides, self.group = arch.channels, arch.sides[::-1], group
        self.rgb = EqualConv(3, ch[arch.resolution], 1)
        self.blocks = nn.ModuleList(CriticBlock(ch[a], ch[b]) for a, b in pairwise(sides))
        self.last = EqualConv(ch[4] + 1, ch[4], 3)
        self.fc, self.out = EqualLinear(ch[4] * 16, ch[4]), EqualLinear(ch[4], 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.rgb(images)
        for block in self.blocks:
            x = block(x)
        x = self.last(torch.cat([x, self.spread(x)], 1))
        return self.out(act(self.fc(x.flatten(1))))[:, 0]

    def spread(self, x: Tensor) -> Tensor:
        """Minibatch standard deviation over groups, one map (arXiv:1710.10196, section 3)."""
        n, c, h, w = x.shape
        g = self.group if n % self.group == 0 else n
        groups = x.float().view(g, n // g, c, h, w)
        sd = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        return sd.repeat(g)[:, None, None, None].expand(n, 1, h, w).to(x.dtype)


def load_critic(arch: StyleArchitecture, tensors: Mapping[str, Tensor]) -> Critic:
    """A trainable critic with a source model's tensors."""
    net = Critic(arch)
    net.load_state_dict(tensors)
    return net
