"""StyleGAN2 checkpoints in rosinality's layout as our `StyleGenerator`.

Karras et al., CVPR 2020, arXiv:1912.04958. The layout that few-shot GAN adaptation shares (CDC,
DCL, AdAM, RICK, RSSA and others): `g_ema` at 256 px, channel multiplier 2. Its blur kernels are the
fixed [1, 3, 3, 1] filter, which is checked and dropped; everything else must fit, name by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from baselines.common.stylegan2 import StyleArchitecture, StyleGenerator
from baselines.common.weights import converted, read_weights
from fsig_bench.download import Asset

NOISES = "noises."  # the maps that the checkpoint was saved with; kept beside the generator


def rosinality_architecture(resolution: int, multiplier: int) -> StyleArchitecture:
    """512 channels to 32 px, then 256, 128, 64 ... times the multiplier from 64 px on."""
    sides = [2**j for j in range(2, int(math.log2(resolution)) + 1)]
    channels = {side: 512 if side <= 32 else 256 * multiplier * 64 // side for side in sides}
    return StyleArchitecture(
        resolution=resolution, style_dim=512, mapping_layers=8, channels=channels
    )


def _renames(arch: StyleArchitecture) -> dict[str, str]:
    """Module in the checkpoint -> module here, for modules with weight and bias or style."""
    out = {f"style.{n + 1}": f"fc.{n}" for n in range(arch.mapping_layers)}
    styled = {"conv1": "first"}
    rgb = {"to_rgb1": "rgb.0"}
    for j in range(len(arch.sides) - 1):
        styled |= {f"convs.{2 * j}": f"up.{j}", f"convs.{2 * j + 1}": f"flat.{j}"}
        rgb[f"to_rgbs.{j}"] = f"rgb.{j + 1}"
    for own, ours in (styled | rgb).items():
        out[f"{own}.conv.modulation"] = f"{ours}.conv.style"
    return out | {f"{k}.conv": f"{v}.conv" for k, v in (styled | rgb).items()}


def convert_rosinality(state: Mapping[str, Any], arch: StyleArchitecture) -> dict[str, Tensor]:
    """Tensors of `g_ema` under our names, with its noise maps as noises.0 and so on.

    Raises:
        ValueError: unknown, missing or wrongly shaped tensors, or another blur kernel.
    """
    left: dict[str, Tensor] = dict(state.get("g_ema", state))
    out: dict[str, Tensor] = {}
    wanted = {k: v.shape for k, v in StyleGenerator(arch).state_dict().items()}
    for own, ours in _renames(arch).items():
        for part in ("weight", "bias"):
            if (key := f"{own}.{part}") in left:
                value = left.pop(key)
                # A convolution's weight carries a leading 1: [1, out, in, side, side].
                out[f"{ours}.{part}"] = value[0] if value.ndim == 5 else value
    pairs = {"input.input": "const", "conv1.noise.weight": "first.noise_gain"}
    pairs |= {"conv1.activate.bias": "first.bias", "to_rgb1.bias": "rgb.0.bias"}
    for j in range(len(arch.sides) - 1):
        for n, block in ((2 * j, f"up.{j}"), (2 * j + 1, f"flat.{j}")):
            pairs |= {f"convs.{n}.noise.weight": f"{block}.noise_gain"}
            pairs |= {f"convs.{n}.activate.bias": f"{block}.bias"}
        pairs[f"to_rgbs.{j}.bias"] = f"rgb.{j + 1}.bias"
    for own, ours in pairs.items():
        if own in left:
            value = left.pop(own)
            out[ours] = value.flatten() if ours.endswith("bias") else value
    tap = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = tap[:, None] * tap[None, :] * 4
    for key in [k for k in left if k.endswith((".blur.kernel", ".upsample.kernel"))]:
        if not torch.allclose(left.pop(key).float(), kernel, atol=1e-5):
            raise ValueError(f"{key} is another filter than [1, 3, 3, 1] with gain 4")
    noises = {
        k: left.pop(k)
        for k in [f"{NOISES}noise_{n}" for n in range(len(arch.noise_sides))]
        if k in left
    }
    absent = sorted(set(wanted) - set(out))
    shapes = [k for k in wanted if k in out and out[k].shape != wanted[k]]
    if absent or left or shapes:
        raise ValueError(
            f"the checkpoint is no generator of {arch.resolution} px with these widths: missing "
            f"{absent[:3]}, left over {sorted(left)[:3]}, other shapes {shapes[:3]}; check the "
            "resolution and the channel multiplier"
        )
    return out | {f"{NOISES}{n}": value for n, value in enumerate(noises.values())}


@dataclass(frozen=True, kw_only=True)
class RosinalitySource:
    """A frozen style generator from such a checkpoint; interface of `StyleSource`."""

    weights: Asset
    resolution: int
    multiplier: int
    device: str

    @cached_property
    def net(self) -> StyleGenerator:
        arch = rosinality_architecture(self.resolution, self.multiplier)
        path = converted(
            self.weights,
            "rosinality",
            {"resolution": self.resolution, "multiplier": self.multiplier, **asdict(arch)},
            lambda s: convert_rosinality(s, arch),
        )
        tensors = read_weights(path)[1]
        net = StyleGenerator(arch)
        net.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(NOISES)})
        return net.eval().requires_grad_(False).to(self.device)
