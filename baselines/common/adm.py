"""ADM checkpoints of guided-diffusion's layout as diffusers' `UNet2DModel`.

Dhariwal & Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021, arXiv:2105.05233,
section 3. The same network under other names, so a checkpoint is renamed once, into the cache, and
loaded strictly: an unknown or missing tensor is an error.

Shape legend: c channels, h heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import Tensor

from baselines.common.diffusion import linear_abar
from baselines.common.unet import PixelUNet
from baselines.common.weights import converted, read_weights
from fsig_bench.api import Asset, JsonDict


@dataclass(frozen=True, kw_only=True)
class ADMFlags:
    """Flags of guided-diffusion's scripts that shape the network; values stand in YAML."""

    image_size: int
    num_channels: int
    channel_mult: Sequence[int]
    num_res_blocks: int
    attention_resolutions: Sequence[int]  # sides of the maps, in px
    num_head_channels: int
    resblock_updown: bool
    use_scale_shift_norm: bool
    learn_sigma: bool
    use_new_attention_order: bool
    dropout: float  # while training; in the residual blocks, not in the attention

    @property
    def attends(self) -> list[bool]:
        """Of each level, from the image's side down."""
        sides = [self.image_size >> level for level in range(len(self.channel_mult))]
        return [side in self.attention_resolutions for side in sides]

    def unet_config(self) -> JsonDict:
        """Arguments of the `UNet2DModel` that computes the same function."""
        kinds = ["Attn" if a else ("Resnet" if self.resblock_updown else "") for a in self.attends]
        # ResnetDownsampleBlock2D, AttnDownBlock2D, DownBlock2D
        down = [f"{k}Down{'sampleB' if k == 'Resnet' else 'B'}lock2D" for k in kinds]
        change = "resnet" if self.resblock_updown else "conv"
        return {
            "sample_size": self.image_size,
            "in_channels": 3,
            "out_channels": 6 if self.learn_sigma else 3,
            "layers_per_block": self.num_res_blocks,
            "block_out_channels": [self.num_channels * m for m in self.channel_mult],
            "down_block_types": down,
            "up_block_types": [d.replace("Down", "Up") for d in reversed(down)],
            "attention_head_dim": self.num_head_channels,
            "resnet_time_scale_shift": "scale_shift" if self.use_scale_shift_norm else "default",
            "downsample_type": change,
            "upsample_type": change,
            "norm_num_groups": 32,
            "attn_norm_num_groups": 32,  # else the middle attention has no norm with scale_shift
            "norm_eps": 1e-5,
            "act_fn": "silu",
            "time_embedding_type": "positional",
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            "dropout": self.dropout,
            "add_attention": True,
        }


def _blocks(flags: ADMFlags) -> Iterator[tuple[str, str, str]]:
    """(kind, module in the checkpoint, module in diffusers), kind res, attention or plain."""
    levels, attends = len(flags.channel_mult), flags.attends
    change = "res" if flags.resblock_updown else "plain"
    yield "plain", "time_embed.0", "time_embedding.linear_1"
    yield "plain", "time_embed.2", "time_embedding.linear_2"
    yield "plain", "input_blocks.0.0", "conv_in"
    n = 1
    for level in range(levels):
        for i in range(flags.num_res_blocks):
            yield "res", f"input_blocks.{n}.0", f"down_blocks.{level}.resnets.{i}"
            if attends[level]:
                yield "attention", f"input_blocks.{n}.1", f"down_blocks.{level}.attentions.{i}"
            n += 1
        if level < levels - 1:
            own, theirs = ("", "") if flags.resblock_updown else (".op", ".conv")
            yield change, f"input_blocks.{n}.0{own}", f"down_blocks.{level}.downsamplers.0{theirs}"
            n += 1
    yield "res", "middle_block.0", "mid_block.resnets.0"
    yield "attention", "middle_block.1", "mid_block.attentions.0"
    yield "res", "middle_block.2", "mid_block.resnets.1"
    n = 0
    for up, level in enumerate(reversed(range(levels))):
        for i in range(flags.num_res_blocks + 1):
            yield "res", f"output_blocks.{n}.0", f"up_blocks.{up}.resnets.{i}"
            if attends[level]:
                yield "attention", f"output_blocks.{n}.1", f"up_blocks.{up}.attentions.{i}"
            if level and i == flags.num_res_blocks:
                place = f"output_blocks.{n}.{1 + attends[level]}"
                tail = "" if flags.resblock_updown else ".conv"
                yield change, f"{place}{tail}", f"up_blocks.{up}.upsamplers.0{tail}"
            n += 1
    yield "plain", "out.0", "conv_norm_out"
    yield "plain", "out.2", "conv_out"


RES = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}


def split_qkv(qkv: Tensor, heads: int, *, new_order: bool) -> list[Tensor]:
    """Query, key and value [c, ...] of a joint [3 c, ...].

    Legacy: heads outermost, then q, k, v; new: q, k, v outermost. Taking one for the other runs,
    and gives wrong images.
    """
    rest, size = qkv.shape[1:], len(qkv) // 3
    if new_order:
        return list(qkv.view(3, size, *rest))
    parts = qkv.view(heads, 3, size // heads, *rest)
    return [parts[:, i].reshape(size, *rest) for i in range(3)]


def convert_adm(state: Mapping[str, Tensor], flags: ADMFlags) -> dict[str, Tensor]:
    """Tensors of a guided-diffusion checkpoint under diffusers' names.

    Raises:
        ValueError: tensors are missing or left over; some are named.
    """
    left, out, absent = dict(state), {}, []

    def move(own: str, theirs: str, *, optional: bool = False) -> None:
        for part in ("weight", "bias"):
            if (key := f"{own}.{part}") in left:
                out[f"{theirs}.{part}"] = left.pop(key)
            elif not optional:
                absent.append(key)

    def move_attention(own: str, theirs: str) -> None:
        move(f"{own}.norm", f"{theirs}.group_norm")
        for part in ("weight", "bias"):
            qkv, proj = (
                left.pop(f"{own}.qkv.{part}", None),
                left.pop(f"{own}.proj_out.{part}", None),
            )
            if qkv is None or proj is None:
                absent.append(f"{own}.qkv.{part}")
                continue
            heads = len(qkv) // 3 // flags.num_head_channels
            qkv, proj = (x.squeeze(-1) if part == "weight" else x for x in (qkv, proj))
            split = split_qkv(qkv, heads, new_order=flags.use_new_attention_order)
            for name, value in zip(("to_q", "to_k", "to_v"), split, strict=True):
                out[f"{theirs}.{name}.{part}"] = value.contiguous()
            out[f"{theirs}.to_out.0.{part}"] = proj

    for kind, own, theirs in _blocks(flags):
        if kind == "plain":
            move(own, theirs)
        elif kind == "attention":
            move_attention(own, theirs)
        else:
            for a, b in RES.items():
                move(f"{own}.{a}", f"{theirs}.{b}", optional=a == "skip_connection")
    if absent or left:
        some, more = ", ".join(absent[:3]), ", ".join(sorted(left)[:3])
        raise ValueError(
            f"the checkpoint does not fit its flags: {len(absent)} tensors are missing ({some}), "
            f"{len(left)} are left over ({more}); "
            "check channel_mult, attention_resolutions, resblock_updown and class conditioning"
        )
    return out


@dataclass(frozen=True, kw_only=True)
class ADMSource:
    """A frozen pixel diffusion model from an ADM checkpoint; interface of `DiffusionSource`."""

    weights: Asset
    flags: ADMFlags
    device: str

    @cached_property
    def unet(self) -> PixelUNet:
        config = self.flags.unet_config()
        path = converted(
            self.weights, "adm", {"flags": asdict(self.flags)}, lambda s: convert_adm(s, self.flags)
        )
        unet = PixelUNet(config)
        unet.net.load_state_dict(read_weights(path)[1])
        unet = unet.eval().requires_grad_(False).to(self.device)
        return unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    @property
    def resolution(self) -> int:
        return self.flags.image_size

    @property
    def abar(self) -> Tensor:
        """The schedule that the model was trained under, float64 [steps]."""
        return linear_abar()

    def eps(self, x: Tensor, t: int | Tensor) -> Tensor:
        """Predicted noise; see `PixelUNet.eps`."""
        return self.unet.eps(x, t)
