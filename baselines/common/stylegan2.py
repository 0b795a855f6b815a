"""A style-based generator in the layout of StyleGAN2 (`skip`); its critic is in `critic.py`.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020,
arXiv:1912.04958. Plain PyTorch: a modulated convolution scales its input by the style and its
output by the demodulation (section 2.2), so that one convolution serves the whole batch.

Shape legend: n images, d style width, r side of a map, l styles (2 log2(resolution) - 2).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.common.weights import read_weights
from fsig_bench.api import verified, write_safetensors

SLOPE, GAIN = 0.2, math.sqrt(2)  # leaky ReLU, and the gain that keeps its variance at 1


def act(x: Tensor) -> Tensor:
    """sqrt(2) leaky_relu(x, 0.2)."""
    return F.leaky_relu(x, SLOPE) * GAIN


def act_inverse(w: Tensor) -> Tensor:
    """The x with act(x) = w: the P-space of Zhu et al., arXiv:2012.09036, section 3."""
    x = w / GAIN
    return torch.where(x < 0, x / SLOPE, x)


def fir(x: Tensor, pad: tuple[int, int], gain: float = 1.0) -> Tensor:
    """Filters each channel with the separable [1, 3, 3, 1] kernel (its sum is `gain`)."""
    tap = torch.full((4,), 3 / 8, dtype=x.dtype, device=x.device)  # made there: a copy would wait
    tap[::3] = 1 / 8
    kernel = (tap[:, None] * tap[None, :] * gain).expand(x.shape[1], 1, 4, 4)
    if pad[0] == pad[1]:  # the convolution pads faster than F.pad does
        return F.conv2d(x, kernel.contiguous(), padding=pad[0], groups=x.shape[1])
    return F.conv2d(F.pad(x, (*pad, *pad)), kernel.contiguous(), groups=x.shape[1])


class EqualLinear(nn.Module):
    """A fully connected layer with equalised learning rate (arXiv:1710.10196, section 4.1)."""

    def __init__(self, c_in: int, c_out: int, *, bias: float = 0.0, lr_mul: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in) / lr_mul)
        self.bias = nn.Parameter(torch.full((c_out,), bias))
        self.scale, self.lr_mul = lr_mul / math.sqrt(c_in), lr_mul

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style (section 2.2, Eq. 1 and 3)."""

    def __init__(
        self, c_in: int, c_out: int, side: int, d: int, *, up: bool, demodulate: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, side, side))
        self.style = EqualLinear(d, c_in, bias=1.0)
        self.scale, self.up, self.demodulate = 1 / math.sqrt(c_in * side**2), up, demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style, weight = self.style(w), self.weight * self.scale
        x = x * style[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = fir(x, (1, 1), gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            power = style.square() @ weight.square().sum((2, 3)).T
            x = x * (power + 1e-8).rsqrt()[:, :, None, None]
        return x


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, activation."""

    def __init__(self, c_in: int, c_out: int, d: int, *, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(c_in, c_out, 3, d, up=up, demodulate=True)
        self.noise_gain = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(c_out))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        x = self.conv(x, w) + self.noise_gain * noise
        return act(x + self.bias[:, None, None])


class ToRGB(nn.Module):
    """1x1 modulated convolution to colours, added to the upsampled image so far."""

    def __init__(self, c_in: int, d: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(c_in, 3, 1, d, up=False, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor, below: Tensor | None) -> Tensor:
        out = self.conv(x, w) + self.bias[:, None, None]
        if below is None:
            return out
        n, c, h, side = below.shape
        spread = below.new_zeros(n, c, h, 2, side, 2)
        spread[:, :, :, 0, :, 0] = below
        return out + fir(spread.view(n, c, 2 * h, 2 * side), (2, 1), gain=4.0)


@dataclass(frozen=True, kw_only=True)
class StyleArchitecture:
    """Sizes of a generator and its critic; the values stand in YAML."""

    resolution: int
    style_dim: int
    mapping_layers: int
    channels: Mapping[int, int]  # side of a map -> channels

    @property
    def sides(self) -> list[int]:
        return [2**j for j in range(2, int(math.log2(self.resolution)) + 1)]

    @property
    def num_styles(self) -> int:
        return 2 * len(self.sides)

    @property
    def noise_sides(self) -> list[int]:
        return [4] + [side for side in self.sides[1:] for _ in range(2)]


class StyleGenerator(nn.Module):
    """z [n, d] -> w [n, d] (`mapping`); w+ [n, l, d] and noise maps -> images (`synthesis`)."""

    def __init__(self, arch: StyleArchitecture) -> None:
        super().__init__()
        self.arch, d, ch = arch, arch.style_dim, arch.channels
        self.fc = nn.ModuleList(EqualLinear(d, d, lr_mul=0.01) for _ in range(arch.mapping_layers))
        self.const = nn.Parameter(torch.randn(1, ch[4], 4, 4))
        pairs = list(pairwise(arch.sides))
        self.first = StyledConv(ch[4], ch[4], d, up=False)
        self.up = nn.ModuleList(StyledConv(ch[a], ch[b], d, up=True) for a, b in pairs)
        self.flat = nn.ModuleList(StyledConv(ch[b], ch[b], d, up=False) for _, b in pairs)
        self.rgb = nn.ModuleList(ToRGB(ch[side], d) for side in arch.sides)

    def mapping(self, z: Tensor) -> Tensor:
        """PixelNorm, then the fully connected layers (arXiv:1812.04948, section 2)."""
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.fc:
            x = act(layer(x))
        return x

    def synthesis(self, styles: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Images [n, 3, r, r] around [-1, 1], not clamped.

        Args:
            styles: w+ [n, l, d]; a single w is `w[:, None].expand(-1, l, -1)`.
            noise: one map [n or 1, 1, side, side] per entry of `arch.noise_sides`.
        """
        image: Tensor = self(styles, noise)  # a call, so that compiling and offload see it
        return image

    def forward(self, styles: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """`synthesis`."""
        x = self.first(self.const.expand(len(styles), -1, -1, -1), styles[:, 0], noise[0])
        image = self.rgb[0](x, styles[:, 1], None)
        for j, (up, flat, rgb) in enumerate(zip(self.up, self.flat, self.rgb[1:], strict=True)):
            x = up(x, styles[:, 2 * j + 1], noise[2 * j + 1])
            x = flat(x, styles[:, 2 * j + 2], noise[2 * j + 2])
            image = rgb(x, styles[:, 2 * j + 3], image)
        return image

    def repeat(self, w: Tensor) -> Tensor:
        """One w [n, d] for every layer: w+ [n, l, d]."""
        return w[:, None].expand(-1, self.arch.num_styles, -1)

    def noise(self, n: int, g: torch.Generator) -> list[Tensor]:
        """Standard normal noise maps from a generator, on its device."""
        sides = self.arch.noise_sides
        return [torch.randn(n, 1, side, side, generator=g, device=g.device) for side in sides]


def parameters(module: nn.Module) -> int:
    """How many trained numbers a module holds."""
    return sum(p.numel() for p in module.parameters())


def save_gan(path: Path, net: StyleGenerator, critic: nn.Module) -> str:
    """Writes both as fp16 safetensors with the architecture as metadata; returns the sha256."""
    parts = {"generator": net, "critic": critic}
    tensors = {
        f"{name}/{k}": v.detach().to(torch.float16)
        for name, part in parts.items()
        for k, v in part.state_dict().items()
    }
    return write_safetensors(path, tensors, {"architecture": json.dumps(asdict(net.arch))})


def read_gan(path: Path, part: str) -> tuple[StyleArchitecture, dict[str, Tensor]]:
    """Architecture and float32 tensors of one part ("generator" or "critic") of such a file.

    Raises:
        ValueError: the file carries no architecture.
    """
    config, everything = read_weights(path)
    head = f"{part}/"
    tensors = {k[len(head) :]: v for k, v in everything.items() if k.startswith(head)}
    config["channels"] = {int(side): c for side, c in config["channels"].items()}
    return StyleArchitecture(**config), tensors


def load_generator(path: Path) -> StyleGenerator:
    """The generator of a file that `save_gan` wrote, in eval mode, frozen."""
    arch, tensors = read_gan(path, "generator")
    net = StyleGenerator(arch)
    net.load_state_dict(tensors)
    return net.eval().requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class StyleSource:
    """The frozen style generator of a suite."""

    weights: str  # path of a file that `save_gan` wrote
    device: str

    @cached_property
    def net(self) -> StyleGenerator:
        return load_generator(verified(self.weights)).to(self.device)

    def critic_parts(self) -> tuple[StyleArchitecture, dict[str, Tensor]]:
        """Architecture and tensors of the generator's opponent, for `load_critic`."""
        return read_gan(verified(self.weights), "critic")
