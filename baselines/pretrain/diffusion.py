"""Pretrains a pixel diffusion model on a source domain.

L_hybrid = L_simple + lambda L_vlb (Nichol & Dhariwal, arXiv:2102.09672, Eq. 16): epsilon by mean
squared error, the variance head by the variational bound with the mean's gradient stopped. The
error in epsilon is weighted by 1 / abar, which makes it the error in v (SNR + 1 weighting of
Salimans & Ho, arXiv:2202.00512, section 4): unweighted, a small network learns the global colours
of the noisy end last.
Checkpointed; the same command continues a stopped run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from baselines.common.diffusion import linear_abar
from baselines.common.unet import PixelUNet, save_unet
from baselines.pretrain.loop import ImageSource, Loop
from fsig_bench.images import to_float
from fsig_bench.seeding import generator


@dataclass(frozen=True)
class Tables:
    """Posterior tables of the 1000-step process, float32 [1000] (DDPM, Eq. 7)."""

    abar: Tensor
    beta: Tensor
    log_beta: Tensor
    log_posterior: Tensor  # log of the posterior variance; index 0 copies index 1
    coef_x0: Tensor
    coef_xt: Tensor

    @classmethod
    def linear(cls) -> Tables:
        abar = linear_abar()
        prev = torch.cat([torch.ones(1, dtype=abar.dtype), abar[:-1]])
        beta = 1 - abar / prev
        var = beta * (1 - prev) / (1 - abar)
        tables = (
            abar,
            beta,
            beta.log(),
            torch.cat([var[1:2], var[1:]]).log(),
            beta * prev.sqrt() / (1 - abar),
            (1 - prev) * (1 - beta).sqrt() / (1 - abar),
        )
        return cls(*(a.float() for a in tables))


def normal_kl(mean_p: Tensor, log_p: Tensor, mean_q: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of diagonal Gaussians from means and log-variances, in nats."""
    return 0.5 * (
        log_q - log_p - 1 + (log_p - log_q).exp() + (mean_p - mean_q) ** 2 * (-log_q).exp()
    )


def discretised_nll(x0: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-log p of 8-bit pixels in [-1, 1] under a Gaussian (DDPM, Eq. 13), in nats."""
    inverse = (-0.5 * log_var).exp()

    def cdf(v: Tensor) -> Tensor:
        return 0.5 * (1 + torch.erf(v * inverse / math.sqrt(2)))

    high = torch.where(x0 > 0.999, torch.ones_like(x0), cdf(x0 - mean + 1 / 255))
    low = torch.where(x0 < -0.999, torch.zeros_like(x0), cdf(x0 - mean - 1 / 255))
    return -(high - low).clamp(min=1e-12).log()


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

    def at(table: Tensor) -> Tensor:
        return table.to(out.device)[t][:, None, None, None]

    eps, v = out.float().chunk(2, 1)
    simple = ((eps - noise).square() / at(tables.abar)).mean()
    fixed = eps.detach()  # the bound trains the variance only
    mix = (v + 1) / 2
    log_var = mix * at(tables.log_beta) + (1 - mix) * at(
        tables.log_posterior
    )  # arXiv:2102.09672, Eq. 15
    guess = ((x_t - (1 - at(tables.abar)).sqrt() * fixed) / at(tables.abar).sqrt()).clamp(-1, 1)
    mean = at(tables.coef_x0) * guess + at(tables.coef_xt) * x_t
    true = at(tables.coef_x0) * x0 + at(tables.coef_xt) * x_t
    kl = normal_kl(true, at(tables.log_posterior), mean, log_var)
    bound = torch.where((t == 0)[:, None, None, None], discretised_nll(x0, mean, log_var), kl)
    return simple + vlb_weight * 1000 * bound.mean() / math.log(2), simple


@dataclass(frozen=True, kw_only=True)
class DiffusionRecipe:
    """How the weights were made; the values stand in conf/pretrain/diffusion.yaml."""

    images: ImageSource
    unet: Mapping[str, Any]
    unshuffle: int
    inner: Literal["eps", "v"]
    vlb_weight: float
    loop: Loop

    def run(self, out: Path, work: Path) -> dict[str, Any]:
        """Trains (or continues), writes `out`, returns cost and curve for the manifest."""
        torch.manual_seed(self.loop.seed)  # initial weights
        model = PixelUNet(self.unet, self.unshuffle, self.inner)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        tables = Tables.linear()

        def loss(net: Any, pixels: Tensor, step: int) -> tuple[Tensor, dict[str, float]]:
            g = generator(self.loop.seed, "noise", step)
            x0 = to_float(pixels)
            # One step in each of n equal strata (Kingma et al., arXiv:2107.00630, appendix I.1).
            t = (torch.arange(len(x0)) + torch.rand(1, generator=g)) / len(x0)
            t = (t * 1000).long().clamp(max=999)
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
