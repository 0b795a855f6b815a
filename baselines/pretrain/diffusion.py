"""Pretrains a pixel diffusion model on a source domain.

L_hybrid = L_simple + lambda L_vlb (Nichol & Dhariwal, arXiv:2102.09672, Eq. 16): epsilon by mean
squared error, the variance head by the variational bound with the mean's gradient stopped. The
error in epsilon is weighted by 1 / abar, which makes it the error in v (SNR + 1 weighting of
Salimans & Ho, arXiv:2202.00512, section 4): unweighted, a small network learns the global colours
of the noisy end last.
Checkpointed; the same command continues a stopped run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from baselines.common.diffusion import linear_abar
from baselines.common.unet import PixelUNet, load_unet, save_unet
from baselines.common.variational import Tables, at, variational_bound
from baselines.pretrain.loop import ImageSource, Loop
from fsig_bench.api import Json, JsonDict, generator, to_float, verified


def hybrid_loss(
    out: Tensor,
    x0: Tensor,
    x_t: Tensor,
    noise: Tensor,
    t: Tensor,
    tables: Tables,
    vlb_weight: float,
) -> tuple[Tensor, Tensor]:
    """(L_hybrid, weighted L_simple) for network output [n, 6, h, w]."""
    eps = out[:, :3]
    simple = ((eps - noise).square() / at(tables.abar, t)).mean()
    bound = variational_bound(out, x0, x_t, t, tables, clip=True).mean()
    return simple + vlb_weight * 1000 * bound, simple


def draw_steps(n: int, power: float, g: torch.Generator) -> Tensor:
    """Timesteps [n], int64 in 0..999: 1000 u^power for one u in each of n equal strata of [0, 1).

    Strata after Kingma et al., arXiv:2107.00630, appendix I.1; a power above 1 favours the
    clean end.
    """
    u = (torch.arange(n) + torch.rand(1, generator=g)) / n
    return (u**power * 1000).long().clamp(max=999)


@torch.no_grad()
def begin_from(model: PixelUNet, trained: PixelUNet) -> None:
    """Copies trained weights; rows of `model` that `trained` lacks stay as they are.

    With the full-resolution path at its zero start, `model` then says what `trained` says.
    """
    own = model.net.state_dict()
    for name, value in trained.net.state_dict().items():
        own[name][: len(value)] = value


@dataclass(frozen=True, kw_only=True)
class DiffusionRecipe:
    """How the weights were made; the values stand in conf/pretrain/diffusion.yaml."""

    images: ImageSource
    unet: Json
    unshuffle: int
    inner: Literal["eps", "v"]
    vlb_weight: float
    loop: Loop
    fine: int = 0  # channels of the path at full resolution; see PixelUNet
    step_power: float = 1.0  # see `draw_steps`
    start: str | None = None  # trained weights to begin from, of the same network without `fine`

    def run(self, out: Path, work: Path) -> JsonDict:
        """Trains (or continues), writes `out`, returns cost and curve for the manifest."""
        torch.manual_seed(self.loop.seed)  # initial weights
        model = PixelUNet(self.unet, self.unshuffle, self.inner, fine=self.fine)
        if self.start:
            begin_from(model, load_unet(verified(self.start)))
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        tables = Tables.of(linear_abar())

        def loss(
            net: Callable[..., Tensor], pixels: Tensor, step: int
        ) -> tuple[Tensor, dict[str, float]]:
            g = generator(self.loop.seed, "noise", step)
            x0 = to_float(pixels)
            t = draw_steps(len(x0), self.step_power, g)
            noise = torch.randn(x0.shape, generator=g)
            abar = tables.abar[t][:, None, None, None]
            x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * noise
            x0, x_t, noise, t = (a.to(self.loop.device) for a in (x0, x_t, noise, t))
            out = net(x_t.contiguous(memory_format=torch.channels_last), t)
            total, simple = hybrid_loss(out, x0, x_t, noise, t, tables, self.vlb_weight)
            return total, {"simple": float(simple.detach())}

        start = time.perf_counter()
        cost = self.loop.run(model, loss, self.images, work)
        cost["wall_s"] = round(time.perf_counter() - start + cost.pop("wall_before_s"), 1)
        save_unet(out, model)
        return cost | {"parameters": sum(p.numel() for p in model.parameters())}
