"""Inception v3 as three literatures use it for FID: pool3, 2048 numbers an image.

Szegedy et al., "Rethinking the Inception Architecture", arXiv:1512.00567; Heusel et al.,
arXiv:1706.08500. The published FIDs come from two networks that share a name:

* `fid`: the TensorFlow release of 2015-12-05. Its average pools do not count padding, and its last
  block pools by maximum (a slip of that release, kept since everybody's numbers have it).
* `imagenet`: torchvision's own weights, which AdAM, RICK and WeditGAN evaluate with.

Shape legend: n images.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsig_bench.api.assets import Asset
from fsig_bench.api.compiling import compiled
from fsig_bench.networks.resize import resize

SIDE = 299
LAYERS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1"),
    *("Conv2d_4a_3x3", "maxpool2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b"),
    *("Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
)
Block = Any  # of torchvision's Inception: its layers are attributes without types
Scale = Literal["unit", "tensorflow", "torchvision_old", "torchvision_old_signed"]


def scaled(x: Tensor, scale: str) -> Tensor:
    """[0, 255] to what the network is fed, under a named rule.

    unit: to [-1, 1]. tensorflow: (x - 128) / 128. torchvision_old: pytorch-fid before 2019-02-16,
    x (sigma / 0.5) + (mu - 0.5) / 0.5 of [0, 1] by channel; torchvision_old_signed: the same of
    [-1, 1], as AdAM's code feeds it, so that inputs shrink to about +-0.46.
    """
    if scale == "unit":
        return x / 127.5 - 1
    if scale == "tensorflow":
        return (x - 128) / 128
    sd, mean = (
        torch.tensor(v, device=x.device)[:, None, None]
        for v in ((0.229, 0.224, 0.225), (0.485, 0.456, 0.406))
    )
    x = x / 255 if scale == "torchvision_old" else x / 127.5 - 1
    return x * (sd / 0.5) + (mean - 0.5) / 0.5


def _forward_a(block: Block, pool: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    double = block.branch3x3dbl_3(block.branch3x3dbl_2(block.branch3x3dbl_1(x)))
    five = block.branch5x5_2(block.branch5x5_1(x))
    return torch.cat([block.branch1x1(x), five, double, block.branch_pool(pool(x))], 1)


def _forward_c(block: Block, pool: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    seven = block.branch7x7_3(block.branch7x7_2(block.branch7x7_1(x)))
    double = x
    for part in range(1, 6):
        double = getattr(block, f"branch7x7dbl_{part}")(double)
    return torch.cat([block.branch1x1(x), seven, double, block.branch_pool(pool(x))], 1)


def _forward_e(block: Block, pool: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    three = block.branch3x3_1(x)
    double = block.branch3x3dbl_2(block.branch3x3dbl_1(x))
    return torch.cat(
        [
            block.branch1x1(x),
            block.branch3x3_2a(three),
            block.branch3x3_2b(three),
            block.branch3x3dbl_3a(double),
            block.branch3x3dbl_3b(double),
            block.branch_pool(pool(x)),
        ],
        1,
    )


def fid_inception() -> nn.Module:
    """The `fid` architecture with random weights; keys are torchvision's."""
    from torchvision.models import inception_v3

    net = inception_v3(weights=None, init_weights=False, aux_logits=False, num_classes=1008)
    mean = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
    most = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
    for name in ("5b", "5c", "5d"):
        _patch(net, name, _forward_a, mean)
    for name in ("6b", "6c", "6d", "6e"):
        _patch(net, name, _forward_c, mean)
    _patch(net, "7b", _forward_e, mean)
    _patch(net, "7c", _forward_e, most)
    return net


def _patch(
    net: nn.Module,
    name: str,
    forward: Callable[[Block, Callable[[Tensor], Tensor], Tensor], Tensor],
    pool: Callable[[Tensor], Tensor],
) -> None:
    block = getattr(net, f"Mixed_{name}")
    block.forward = partial(forward, block, pool)


class Pool3(nn.Module):
    """Scaled images [n, 3, 299, 299] -> averages of the last maps, [n, 2048]; no classifier."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        for name in LAYERS:
            x = getattr(self.net, name)(x)
        return x.mean((2, 3))


@dataclass(frozen=True, kw_only=True)
class Inception:
    """A state dict of torchvision's layout, read without unpickling code."""

    name: str
    variant: Literal["fid", "imagenet"]
    weights: Asset
    resize: str  # see `fsig_bench.networks.resize`
    scale: Scale
    device: str

    @property
    def digest(self) -> str:
        return self.weights.digest

    @cached_property
    def _net(self) -> nn.Module:
        if self.variant == "fid":
            net = fid_inception()
        else:
            from torchvision.models import inception_v3

            net = inception_v3(weights=None, init_weights=False, aux_logits=False)
        state = torch.load(self.weights.get(), map_location="cpu", weights_only=True)
        wanted = {k: v for k, v in state.items() if not k.startswith("AuxLogits.")}
        net.load_state_dict(wanted)
        return compiled(Pool3(net).eval().requires_grad_(False).to(self.device))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, h, w] -> float32 [n, 2048]."""
        x = resize(images, side=SIDE, recipe=self.resize).to(self.device)
        rows: Tensor = self._net(scaled(x, self.scale))
        return rows.cpu()


@dataclass(frozen=True, kw_only=True)
class ScriptedInception:
    """NVIDIA's TorchScript of the `fid` network, clean-fid's choice; it holds no Python code."""

    name: str
    weights: Asset
    resize: str  # tensorflow: inside the network, on the full image
    device: str

    @property
    def digest(self) -> str:
        return self.weights.digest

    @cached_property
    def _net(self) -> Any:  # Any: a TorchScript module, whose methods have no types
        with warnings.catch_warnings():
            # Deprecated, but it is the format that this network is published in.
            warnings.simplefilter("ignore", FutureWarning)
            return torch.jit.load(str(self.weights.get()), map_location=self.device).eval()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, h, w] -> float32 [n, 2048]."""
        if self.resize == "tensorflow":
            out = self._net(images.float().to(self.device), return_features=True)
        else:
            x = resize(images, side=SIDE, recipe=self.resize).to(self.device)
            out = self._net.layers.forward(scaled(x, "tensorflow"))
        return out.flatten(1).cpu()
