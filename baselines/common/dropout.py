"""Dropout whose masks belong to images and not to the batch that these are computed in.

torch draws masks from one stream: a step cut into parts, shared among processes or continued after
a kill would drop other units. Here a mask comes from (seed of the image, layer) alone, also when
checkpointing computes a layer again. To torch.compile it is one operation whose seeds are data, so
that a step with new seeds runs the code of the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fsig_bench.api import derive


class ImageSeeds:
    """The seeds of the images of a batch, shared by the layers of a network."""

    def __init__(self, seeds: Sequence[int] = ()) -> None:
        self.values = torch.tensor(seeds, dtype=torch.long)  # on the host: reading never waits


@torch.library.custom_op("fsig_bench::kept_units", mutates_args=())
def kept_units(x: Tensor, seeds: Tensor, layer: str, p: float) -> Tensor:
    """Bool of x's shape [n, ...]: the units that dropout with probability p leaves."""
    keep = torch.empty_like(x, dtype=torch.bool)
    for row, seed in zip(keep, seeds.tolist(), strict=True):
        g = torch.Generator(x.device).manual_seed(derive(seed, layer))
        row.copy_(torch.rand(row.shape, generator=g, device=x.device) >= p)
    return keep


@kept_units.register_fake
def _(x: Tensor, seeds: Tensor, layer: str, p: float) -> Tensor:
    return torch.empty_like(x, dtype=torch.bool)


class ImageDropout(nn.Module):
    """Zeroes each unit with probability p and divides the others by 1 - p, in training mode."""

    def __init__(self, p: float, layer: str, seeds: ImageSeeds) -> None:
        super().__init__()
        self.p, self.layer, self.seeds = p, layer, seeds

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep: Tensor = kept_units(x.detach(), self.seeds.values, self.layer, self.p)
        return x * keep / (1 - self.p)


def by_image(net: nn.Module) -> ImageSeeds:
    """Puts `ImageDropout` in the place of a network's dropout layers.

    Returns:
        What holds the seeds of the images of a batch; `values` is to be set before each forward.
    """
    seeds = ImageSeeds()
    for name, layer in list(net.named_modules()):
        if isinstance(layer, nn.Dropout) and layer.p > 0:
            parent, _, own = name.rpartition(".")
            net.get_submodule(parent).register_module(own, ImageDropout(layer.p, name, seeds))
    return seeds
