"""LPIPS with its published trunks and channel weights, as an embedding.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018,
arXiv:1801.03924, Eq. 1, version 0.1: squared distances between rows of `perceive` are LPIPS. The
channel weights come with the lpips package, the trunk's are torchvision's.

Shape legend: n images, e embedding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsig_bench.api.assets import Asset
from fsig_bench.api.compiling import compiled
from fsig_bench.api.weights import sha256_of
from fsig_bench.networks.base import embed

# Layers of torchvision's `features` after which a map is read.
ENDS = {
    "vgg": (4, 9, 16, 23, 30),
    "alex": (2, 5, 8, 10, 12),
    "squeeze": (2, 5, 8, 10, 11, 12, 13),
}
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of lpips' inputs in [-1, 1]
Net = Literal["vgg", "alex", "squeeze"]


def trunk_of(net: Net) -> nn.Sequential:
    """The trunk with random weights."""
    from torchvision import models

    build = {"vgg": models.vgg16, "alex": models.alexnet, "squeeze": models.squeezenet1_1}[net]
    layers: nn.Sequential = build(weights=None).features
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # maps are read before the next layer
    return layers[: ENDS[net][-1]]


class Maps(nn.Sequential):
    """A trunk's layers in a row; images [n, 3, h, w] -> the maps after those named in `ends`."""

    def __init__(self, layers: nn.Sequential, ends: tuple[int, ...]) -> None:
        super().__init__(*layers)
        self.ends = ends

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for n, layer in enumerate(self):
            x = layer(x)
            if n + 1 in self.ends:
                maps.append(x)
        return maps


def heads_file(net: Net) -> Path:
    """Channel weights in the lpips package, found without importing it.

    Raises:
        FileNotFoundError: lpips is not installed.
    """
    spec = find_spec("lpips")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("LPIPS needs the lpips package: pip install 'fsig-bench[paper]'")
    return Path(spec.origin).parent / "weights" / "v0.1" / f"{net}.pth"


@dataclass(frozen=True, kw_only=True)
class LPIPS:
    """The network of Intra-LPIPS, nearest-LPIPS and copy rate at the papers' scale."""

    net: Net
    weights: Asset | None  # of the trunk; None: random, by `seed`, for tests and speed only
    seed: int
    side: int | None  # images are resized to it first (CDC: 256); None: as they are
    device: str

    @property
    def name(self) -> str:
        return f"lpips-{self.net}" if self.weights else f"lpips-{self.net}-random"

    @property
    def digest(self) -> str:
        """Of the trunk and the channel weights together."""
        trunk = self.weights.digest if self.weights else f"random/{self.seed}"
        return hashlib.sha256(f"{trunk}/{sha256_of(heads_file(self.net))}".encode()).hexdigest()

    @cached_property
    def _trunk(self) -> Maps:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            layers = trunk_of(self.net)
        if self.weights:
            state = torch.load(self.weights.get(), map_location="cpu", weights_only=True)
            head = "features."
            own = {k.removeprefix(head): v for k, v in state.items() if k.startswith(head)}
            layers.load_state_dict({k: v for k, v in own.items() if k in layers.state_dict()})
        layers = Maps(layers, ENDS[self.net]).eval().requires_grad_(False)
        return compiled(layers.to(self.device))

    @cached_property
    def _heads(self) -> list[Tensor]:
        state = torch.load(heads_file(self.net), map_location="cpu", weights_only=True)
        count = len(ENDS[self.net])
        return [state[f"lin{n}.model.1.weight"].flatten().to(self.device) for n in range(count)]

    @cached_property
    def _range(self) -> tuple[Tensor, Tensor]:
        shift, scale = (torch.tensor(v)[:, None, None].to(self.device) for v in (SHIFT, SCALE))
        return shift, scale

    def trunk(self, images: Tensor) -> list[Tensor]:
        """float32 [n, 3, h, w] in [-1, 1] -> the maps that are compared, differentiable."""
        x = images.to(self.device)
        if self.side and x.shape[-2:] != (self.side, self.side):
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        shift, scale = self._range
        maps: list[Tensor] = self._trunk((x - shift) / scale)
        return maps

    def perceive(self, images: Tensor) -> Tensor:
        """float32 [n, 3, h, w] in [-1, 1] -> rows [n, e], differentiable."""
        return embed(self.trunk(images), self._heads)
