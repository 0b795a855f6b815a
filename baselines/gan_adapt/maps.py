"""Maps inside a generator and a critic, and the heads that judge patches.

Shape legend: n images, l styles, d style width, c channels, s side of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from baselines.common.critic import Critic, CriticBlock, EqualConv, shift
from baselines.common.stylegan2 import StyleArchitecture, StyleGenerator, act


def generator_maps(net: StyleGenerator, styles: Tensor, noise: Sequence[Tensor]) -> list[Tensor]:
    """What each convolution gives, [n, c, s, s] each: l - 1 maps from the coarsest to the finest.

    Args:
        net: the generator.
        styles: w+ [n, l, d].
        noise: as `StyleGenerator.synthesis` takes it.
    """
    x = net.first(net.const.expand(len(styles), -1, -1, -1), styles[:, 0], noise[0])
    maps = [x]
    for j, (up, flat) in enumerate(zip(net.up, net.flat, strict=True)):
        x = up(x, styles[:, 2 * j + 1], noise[2 * j + 1])
        maps.append(x)
        x = flat(x, styles[:, 2 * j + 2], noise[2 * j + 2])
        maps.append(x)
    return maps


def half_way(block: CriticBlock, x: Tensor) -> Tensor:
    """A block's second convolution, before its skip is added."""
    return act(shift(block.down(block.conv(x)), block.bias))


def first_patch_block(arch: StyleArchitecture) -> int:
    """The block that ends at an eighth of the images' side: 32 px of 256."""
    return min(2, len(arch.sides) - 2)


def patch_levels(arch: StyleArchitecture) -> list[int]:
    """Channels of the maps that patches can be judged in, as CDC's code takes them at 256 px.

    An eighth of the side, after a block's second convolution; there again, after the next one's
    first; and the same two at a sixteenth.
    """
    sides, first = arch.sides[::-1], first_patch_block(arch)
    out = []
    for a, b in list(pairwise(sides))[first:]:
        out += [arch.channels[a], arch.channels[b]]  # a block's first and second convolution
    return out[1:5]


def critic_map(critic: Critic, images: Tensor, level: int, first: int) -> Tensor:
    """The map of a patch level (`patch_levels`), [n, c, s, s].

    Args:
        critic: the network.
        images: [n, 3, r, r].
        level: from 0.
        first: `first_patch_block` of its architecture.
    """
    last, whole = first + (level + 1) // 2, level % 2 == 0
    x = critic.rgb(images)
    for block in critic.blocks[:last]:
        x = block(x)
    block = cast(CriticBlock, critic.blocks[last])
    return half_way(block, x) if whole else cast(Tensor, block.conv(x))


def critic_maps(critic: Critic, images: Tensor) -> list[Tensor]:
    """What each convolution of a critic gives, from the image on, the last one before its logit."""
    x = critic.rgb(images)
    maps = [x]
    for block in critic.blocks:
        inner = cast(CriticBlock, block)
        maps += [inner.conv(x), half_way(inner, x)]
        x = block(x)
    return [*maps, critic.last(torch.cat([x, critic.spread(x)], 1))]


class PatchHeads(nn.Module):
    """A logit for each place of a critic's map: [n, c, s, s] -> [n, 1, s, s], one head a level.

    CDC's code ends a head with the critic's leaky activation, so this does.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(EqualConv(c, 1, 3) for c in channels)

    def forward(self, x: Tensor, level: int) -> Tensor:
        out: Tensor = self.heads[level](x)
        return out


def seeded_heads(channels: Sequence[int], seed: int) -> PatchHeads:
    """Heads with fresh weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PatchHeads(channels)


def freeze(critic: Critic, layers: int) -> None:
    """Excludes the critic's first layers from training: `rgb` with the first block, and blocks."""
    if layers:
        critic.rgb.requires_grad_(False)
    for block in critic.blocks[:layers]:
        block.requires_grad_(False)
