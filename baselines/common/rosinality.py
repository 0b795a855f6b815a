"""StyleGAN2 checkpoints in rosinality's layout as our `StyleGenerator` and `Critic`.

Karras et al., CVPR 2020, arXiv:1912.04958. The layout that few-shot GAN adaptation shares (CDC,
DCL, AdAM, RICK, RSSA and others): `g_ema` and `d` at 256 px, channel multiplier 2. Their blur
kernels are the fixed [1, 3, 3, 1] filter, which is checked and dropped; everything else must fit,
name by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from baselines.common.critic import Critic
from baselines.common.stylegan2 import StyleArchitecture, StyleGenerator
from baselines.common.weights import Checkpoint, converted, read_weights
from fsig_bench.api import Asset

Convert = Callable[[Checkpoint, StyleArchitecture], dict[str, Tensor]]
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


def convert_rosinality(state: Checkpoint, arch: StyleArchitecture) -> dict[str, Tensor]:
    """Tensors of `g_ema` under our names, with its noise maps as noises.0 and so on.

    Raises:
        ValueError: unknown, missing or wrongly shaped tensors, or another blur kernel.
    """
    left: dict[str, Tensor] = dict(state.get("g_ema", state))
    out: dict[str, Tensor] = {}
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
    out |= _moved(left, pairs)
    _drop_kernels(left, (".blur.kernel", ".upsample.kernel"), gain=4)
    noises = {
        f"{NOISES}{n}": left.pop(key)
        for n in range(len(arch.noise_sides))
        if (key := f"{NOISES}noise_{n}") in left
    }
    _check(out, left, StyleGenerator(arch), f"generator of {arch.resolution} px")
    return out | noises


def convert_rosinality_critic(state: Checkpoint, arch: StyleArchitecture) -> dict[str, Tensor]:
    """Tensors of the critic `d` under our names.

    Raises:
        ValueError: no critic, or unknown, missing or wrongly shaped tensors, or another kernel.
    """
    if "d" not in state:
        raise ValueError(f"the checkpoint holds no critic `d`, only {sorted(state)[:5]}")
    left: dict[str, Tensor] = dict(state["d"])
    pairs = {"convs.0.0.weight": "rgb.weight", "convs.0.1.bias": "rgb.bias"}
    pairs |= {"final_conv.0.weight": "last.weight", "final_conv.1.bias": "last.bias"}
    for own, ours in (("final_linear.0", "fc"), ("final_linear.1", "out")):
        pairs |= {f"{own}.{part}": f"{ours}.{part}" for part in ("weight", "bias")}
    for j in range(len(arch.sides) - 1):
        own, ours = f"convs.{j + 1}", f"blocks.{j}"
        pairs |= {f"{own}.conv1.0.weight": f"{ours}.conv.weight"}
        pairs |= {f"{own}.conv1.1.bias": f"{ours}.conv.bias"}
        pairs |= {
            f"{own}.conv2.1.weight": f"{ours}.down.weight",
            f"{own}.conv2.2.bias": f"{ours}.bias",
        }
        pairs |= {f"{own}.skip.1.weight": f"{ours}.skip.weight"}
    out = _moved(left, pairs)
    _drop_kernels(left, (".conv2.0.kernel", ".skip.0.kernel"), gain=1)
    _check(out, left, Critic(arch), f"critic of {arch.resolution} px")
    return out


def _moved(left: dict[str, Tensor], pairs: Mapping[str, str]) -> dict[str, Tensor]:
    """Takes the named tensors out of `left`, biases as vectors."""
    found = {ours: left.pop(own) for own, ours in pairs.items() if own in left}
    return {k: v.flatten() if k.endswith("bias") else v for k, v in found.items()}


def _drop_kernels(left: dict[str, Tensor], ends: tuple[str, ...], gain: float) -> None:
    tap = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = tap[:, None] * tap[None, :] * gain
    for key in [k for k in left if k.endswith(ends)]:
        found = left.pop(key).float()
        if found.shape != kernel.shape or not torch.allclose(found, kernel, atol=1e-5):
            raise ValueError(f"{key} is another filter than [1, 3, 3, 1] with gain {gain:g}")


def _check(out: dict[str, Tensor], left: dict[str, Tensor], net: nn.Module, what: str) -> None:
    wanted = {k: v.shape for k, v in net.state_dict().items()}
    absent = sorted(set(wanted) - set(out))
    shapes = [k for k in wanted if k in out and out[k].shape != wanted[k]]
    if absent or left or shapes:
        raise ValueError(
            f"the checkpoint is no {what} with these widths: missing {absent[:3]}, left over "
            f"{sorted(left)[:3]}, other shapes {shapes[:3]}; check the resolution and the channel "
            "multiplier"
        )


@dataclass(frozen=True, kw_only=True)
class RosinalitySource:
    """A frozen style generator from such a checkpoint; interface of `StyleSource`."""

    weights: Asset
    resolution: int
    multiplier: int
    device: str

    def _read(self, recipe: str, convert: Convert) -> tuple[StyleArchitecture, dict[str, Tensor]]:
        arch = rosinality_architecture(self.resolution, self.multiplier)
        sizes = {"resolution": self.resolution, "multiplier": self.multiplier, **asdict(arch)}
        path = converted(self.weights, recipe, sizes, lambda state: convert(state, arch))
        return arch, read_weights(path)[1]

    @cached_property
    def net(self) -> StyleGenerator:
        arch, tensors = self._read("rosinality", convert_rosinality)
        net = StyleGenerator(arch)
        net.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(NOISES)})
        return net.eval().requires_grad_(False).to(self.device)

    def critic_parts(self) -> tuple[StyleArchitecture, dict[str, Tensor]]:
        """Architecture and tensors of the generator's opponent, for `load_critic`."""
        return self._read("rosinality_critic", convert_rosinality_critic)
