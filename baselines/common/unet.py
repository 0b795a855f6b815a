"""The pixel-space diffusion network: diffusers' `UNet2DModel` with a learned-variance head.

One code path for the mini model and for ADM at 256 px (Dhariwal & Nichol, NeurIPS 2021,
arXiv:2105.05233): predict epsilon and the variance interpolation v, 6 output channels.

Shape legend: n images, h height, w width.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.common.diffusion import linear_abar
from baselines.common.fullres import FlatGrids, FullResolution, fold_upsampling
from baselines.common.weights import read_weights
from fsig_bench.api import Json, verified, write_safetensors


class PixelUNet(nn.Module):
    """A `UNet2DModel` seen from outside as (x [n, 3, h, w], t [n]) -> [n, 6, h, w].

    Without a variance head, or on latents of c channels, it returns [n, c, h, w].

    With `unshuffle` u the network itself works on [n, 3 u^2, h/u, w/u]: a 64 px image enters as
    12 channels of 32 px, four times cheaper at nearly the same quality.

    With `inner` "v" the network itself speaks v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans &
    Ho, ICLR 2022, arXiv:2202.00512, section 4), turned into epsilon on the way out: at the noisy
    end an epsilon error is multiplied by 150 in x_0, a v error by 1, which a small network needs.
    With `inner` "sample" it speaks x_0. `schedule` is the abar table that the network was trained
    under (default: the linear one).

    With `fine` c the network hands c channels of features to a path at full resolution, which
    corrects its answer; for images and u = 2 only. The clean image that the answer implies then has
    no slowly changing grid of two pixels: epsilon takes over the input's (see `FlatGrids`).
    """

    abar: Tensor

    def __init__(
        self,
        config: Json,
        unshuffle: int = 1,
        inner: Literal["eps", "v", "sample"] = "eps",
        schedule: Tensor | None = None,
        fine: int = 0,
    ) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        self.config, self.unshuffle, self.inner, self.fine = dict(config), unshuffle, inner, fine
        self.answer = int(config["out_channels"])  # channels of the network's own answer
        self.heads = self.answer // int(config["in_channels"])
        table = linear_abar() if schedule is None else schedule
        self.register_buffer("abar", table.float(), persistent=False)
        built = self.config | {"out_channels": self.answer + fine * unshuffle**2}
        self.net: nn.Module = UNet2DModel(**built)  # type: ignore[no-untyped-call, assignment]
        self.resolution = int(config["sample_size"]) * unshuffle
        if fine:
            if unshuffle != 2:
                raise ValueError(f"fine={fine}, unshuffle={unshuffle}: fine is for unshuffle=2")
            self.full = FullResolution(fine, 3 * self.heads)
            self.grids = FlatGrids(self.resolution)
            fold_upsampling(self.net)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Epsilon, then the variance interpolation if there is a head for it."""
        small = F.pixel_unshuffle(x, self.unshuffle) if self.unshuffle > 1 else x
        raw = self.net(small, t, return_dict=False)[0]
        mean, *variance = raw[:, : self.answer].float().chunk(self.heads, 1)
        if self.unshuffle > 1:
            mean, *variance = (F.pixel_shuffle(a, self.unshuffle) for a in (mean, *variance))
        if self.fine:
            features = F.pixel_shuffle(raw[:, self.answer :], self.unshuffle)
            parts = self.full(x, features).float().chunk(self.heads, 1)
            mean, *variance = (a + b for a, b in zip((mean, *variance), parts, strict=True))
        abar = self.abar[t][:, None, None, None]
        if self.inner == "v":
            mean = (1 - abar).sqrt() * x + abar.sqrt() * mean
        elif self.inner == "sample":
            mean = (x - abar.sqrt() * mean) / (1 - abar).sqrt()
        if self.fine:
            scale = abar.sqrt() / (1 - abar).sqrt()  # of the clean image beside epsilon
            clean = (x / (1 - abar).sqrt() - mean) / scale
            mean = mean + scale * self.grids(clean)
        return torch.cat([mean, *variance], 1)

    @torch.no_grad()
    def eps(self, x: Tensor, t: int | Tensor) -> Tensor:
        """Predicted noise, shaped like x, at original timestep t (0..999), one for all or [n]."""
        if isinstance(t, int):  # made on the device, which then is not waited for
            steps = torch.full((len(x),), t, device=x.device)
        else:
            steps = t.to(x.device).expand(len(x))
        out = self(x.contiguous(memory_format=torch.channels_last), steps)
        # A copy always: a recorded CUDA graph writes its next output over this one.
        return out[:, : x.shape[1]].clone(memory_format=torch.contiguous_format)


def save_unet(path: Path, unet: PixelUNet) -> str:
    """Writes fp16 safetensors with the architecture in the metadata; returns the sha256."""
    state = unet.net.state_dict()
    parts = {"unet": unet.config, "unshuffle": unet.unshuffle, "inner": unet.inner}
    if unet.fine:
        state |= {f"full.{k}": v for k, v in unet.full.state_dict().items()}
        parts["fine"] = unet.fine
    tensors = {k: v.detach().to(torch.float16) for k, v in state.items()}
    config = json.dumps(parts, sort_keys=True)
    return write_safetensors(path, tensors, {"architecture": config})


def load_unet(path: Path) -> PixelUNet:
    """Reads what `save_unet` wrote, in float32 and eval mode.

    Raises:
        ValueError: the file carries no architecture, or its tensors do not fit it.
    """
    config, tensors = read_weights(path)
    unet = PixelUNet(
        config["unet"], config["unshuffle"], config["inner"], fine=config.get("fine", 0)
    )
    names = [k for k in tensors if k.startswith("full.")]
    full = {k.removeprefix("full."): tensors.pop(k) for k in names}
    unet.net.load_state_dict(tensors)
    if unet.fine:
        unet.full.load_state_dict(full)
    return unet.eval().requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class DiffusionSource:
    """The frozen source model of a suite."""

    weights: str  # path of a file that `save_unet` wrote
    device: str

    @cached_property
    def unet(self) -> PixelUNet:
        unet = load_unet(verified(self.weights)).to(self.device)
        return unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    @property
    def resolution(self) -> int:
        return self.unet.resolution

    @property
    def abar(self) -> Tensor:
        """The schedule that the model was trained under, float64 [steps]."""
        return linear_abar()

    def eps(self, x: Tensor, t: int | Tensor) -> Tensor:
        """Predicted noise; see `PixelUNet.eps`."""
        return self.unet.eps(x, t)
