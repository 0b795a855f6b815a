"""Dropout whose masks belong to images and not to the batch that these are computed in.

torch draws masks from one stream: a step cut into parts, shared among processes or continued after
a kill would drop other units. Here a mask comes from (seed of the image, layer) alone, also when
checkpointing computes a layer again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fsig_bench.api import derive


class ImageDropout(nn.Module):
    """Zeroes each unit with probability p and divides the others by 1 - p, in training mode."""

    def __init__(self, p: float, layer: str, seeds: list[int]) -> None:
        super().__init__()
        self.p, self.layer, self.seeds = p, layer, seeds

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = torch.empty_like(x, dtype=torch.bool)
        for row, seed in zip(keep, self.seeds, strict=True):
            g = torch.Generator(x.device).manual_seed(derive(seed, self.layer))
            row.copy_(torch.rand(row.shape, generator=g, device=x.device) >= self.p)
        return x * keep / (1 - self.p)


def by_image(net: nn.Module) -> list[int]:
    """Puts `ImageDropout` in the place of a network's dropout layers.

    Returns:
        The list that holds the seeds of the images of a batch; to be filled before each forward.
    """
    seeds: list[int] = []
    for name, layer in list(net.named_modules()):
        if isinstance(layer, nn.Dropout) and layer.p > 0:
            parent, _, own = name.rpartition(".")
            net.get_submodule(parent).register_module(own, ImageDropout(layer.p, name, seeds))
    return seeds
