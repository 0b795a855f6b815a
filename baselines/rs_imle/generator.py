"""RS-IMLE's generator: residual bottlenecks from 1x1 up, steered by a mapping network.

The blocks are those of a very deep VAE's decoder (Child, arXiv:2011.10650), the mapping network
and AdaIN those of StyleGAN (Karras et al., arXiv:1812.04948), as in Adaptive IMLE (Aghabozorgi et
al., ICML 2023) and RS-IMLE (Vashist et al., ECCV 2024, arXiv:2409.17439).

Shape legend: n images, d latent width, c channels, r side of a map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def parse_blocks(text: str) -> list[tuple[int, bool]]:
    """Side and "upsample first" of each block: "1x1,4m1" -> [(1, False), (4, True)].

    "RxN" is N blocks at side R; "RmS" is one block that first enlarges from side S to R.

    Raises:
        ValueError: a part is neither, or enlarges from another side than the one reached.
    """
    blocks: list[tuple[int, bool]] = []
    for part in text.split(","):
        if "x" in part:
            side, count = map(int, part.split("x"))
            blocks += [(side, False)] * count
        elif "m" in part:
            side, below = map(int, part.split("m"))
            if not blocks or blocks[-1][0] != below:
                raise ValueError(f"blocks={text!r}: {part!r} does not follow side {below}")
            blocks.append((side, True))
        else:
            raise ValueError(f"blocks={text!r}: {part!r} is neither RxN nor RmS")
    return blocks


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes; the values stand in conf/method/rs_imle.yaml."""

    latent_dim: int
    mapping_layers: int
    width: int
    bottleneck: float  # share of the width
    blocks: str
    norm_eps: float  # of the instance norm; large, so that flat maps are not blown up


class AdaIN(nn.Module):
    """Instance norm, then gamma(w) x + beta(w), starting at gamma = 1, beta = 0."""

    def __init__(self, d: int, c: int, eps: float) -> None:
        super().__init__()
        self.style, self.eps = nn.Linear(d, 2 * c), eps
        with torch.no_grad():
            self.style.bias.copy_(torch.cat([torch.ones(c), torch.zeros(c)]))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        gamma, beta = self.style(w)[:, :, None, None].chunk(2, 1)
        if x.shape[-1] > 1:  # a single place has no spread to normalise
            x = F.instance_norm(x, eps=self.eps)
        return gamma * x + beta


class Block(nn.Module):
    """[enlarge], AdaIN, x + bottleneck(x); its 3x3 convolutions are 1x1 where r <= 2."""

    def __init__(self, arch: Architecture, side: int, up: bool, gain: float) -> None:
        super().__init__()
        c, b, k = arch.width, int(arch.width * arch.bottleneck), 3 if side > 2 else 1
        self.enlarge_to = side if up else None
        self.norm = AdaIN(arch.latent_dim, c, arch.norm_eps)
        sizes = [(c, b, 1), (b, b, k), (b, b, k), (b, c, 1)]
        convs = [nn.Conv2d(i, o, s, padding=s // 2) for i, o, s in sizes]
        for conv in convs:
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        with torch.no_grad():
            convs[-1].weight.mul_(gain)
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        if self.enlarge_to:
            x = F.interpolate(x, size=(self.enlarge_to, self.enlarge_to), mode="nearest")
        x = y = self.norm(x, w)
        for conv in self.convs:
            y = conv(F.gelu(y))
        return x + y


class Generator(nn.Module):
    """z [n, d] ~ N(0, I) -> images [n, 3, r, r] around [-1, 1], not clamped."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        d, plan = arch.latent_dim, parse_blocks(arch.blocks)
        self.arch = arch
        layers = [nn.Linear(d, d) for _ in range(arch.mapping_layers)]
        for layer in layers:
            nn.init.zeros_(layer.bias)
        self.mapping = nn.ModuleList(layers)
        self.const = nn.Parameter(torch.randn(1, arch.width, 1, 1))
        gain = math.sqrt(1 / len(plan))  # keeps the residual sum's scale, whatever the depth
        self.blocks = nn.ModuleList(Block(arch, side, up, gain) for side, up in plan)
        self.head = nn.Conv2d(arch.width, 3, 1)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.gain = nn.Parameter(torch.ones(1, 3, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), 0.2)
        x = self.const.expand(len(z), -1, -1, -1)
        for block in self.blocks:
            x = block(x, w)
        return self.gain * self.head(x) + self.bias


def new_generator(architecture: Architecture, seed: int) -> Generator:
    """A generator with weights drawn from `seed`, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(architecture)
