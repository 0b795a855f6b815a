"""Pretrains the diffusion prior of a D2C-style backend on encoded source images.

Stage B of D2C's code (arXiv:2106.06819): freeze the autoencoder, encode the training images and
their mirror images, train an epsilon network on (z - mean) / sd. `inner=eps` is the code's: squared
errors of epsilon, summed over a latent (its timesteps are antithetic, here one from each stratum).
With `inner=v` the network speaks v inside, and the error of epsilon is weighted to be that of v.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from baselines.common.autoencoder import load_autoencoder
from baselines.common.diffusion import linear_abar
from baselines.common.unet import PixelUNet, save_unet
from baselines.common.variational import Tables, at
from baselines.pretrain.loop import ImageSource, Loop
from fsig_bench.api import (
    Json,
    JsonDict,
    generator,
    sha256_of,
    to_float,
    verified,
    write_safetensors,
)


@dataclass(frozen=True)
class _Latents:
    """The encoded pool, mirror images after the images."""

    images: ImageSource
    weights: str
    device: str

    def pool(self, work: Path) -> Tensor:
        """float32 [2 size, c, h, w], standardised; kept in `work` for a run that continues."""
        images, weights = self.images.pool(work), verified(self.weights)
        inputs = sha256(sha256_of(weights).encode())
        inputs.update(images.contiguous().numpy().data)
        path = work / f"latents-{inputs.hexdigest()[:16]}.safetensors"
        if not path.exists():
            write_safetensors(path, {"latents": self._encode(images, weights)}, {})
        return load_file(path)["latents"]

    @torch.no_grad()
    def _encode(self, images: Tensor, weights: Path) -> Tensor:
        net, extra = load_autoencoder(weights, ("latent.mean", "latent.sd"))
        net = net.to(self.device)
        mean, sd = (a[None, :, None, None] for a in extra.values())
        parts = images.split(200)
        seen = chain(parts, (part.flip(3) for part in parts))
        z = torch.cat([net.encode(to_float(part).to(self.device)).cpu() for part in seen])
        return (z - mean) / sd


def prior_loss(eps: Tensor, noise: Tensor, abar: Tensor, inner: Literal["eps", "v"]) -> Tensor:
    """DDPM's simple loss, summed over a latent; or that of v, averaged.

    The latter since eps - noise = sqrt(abar) (v' - v). Adam sees no scale of a loss, `clip_norm`
    does.
    """
    error = (eps - noise).square()
    return error.sum((1, 2, 3)).mean() if inner == "eps" else (error / abar).mean()


@dataclass(frozen=True, kw_only=True)
class PriorRecipe:
    """How the weights were made; the values stand in conf/pretrain/prior.yaml."""

    images: ImageSource
    autoencoder: str
    unet: Json
    inner: Literal["eps", "v"]
    loop: Loop

    def run(self, out: Path, work: Path) -> JsonDict:
        """Trains (or continues), writes `out`, returns the cost."""
        torch.manual_seed(self.loop.seed)  # initial weights
        model = PixelUNet(self.unet, 1, self.inner)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        tables = Tables.of(linear_abar())

        def loss(
            net: Callable[..., Tensor], z: Tensor, step: int
        ) -> tuple[Tensor, dict[str, float]]:
            g = generator(self.loop.seed, "noise", step)
            t = (torch.arange(len(z)) + torch.rand(1, generator=g)) / len(z)
            t = (t * 1000).long().clamp(max=999)
            noise = torch.randn(z.shape, generator=g)
            abar = at(tables.abar, t)
            z_t = (abar.sqrt() * z + (1 - abar).sqrt() * noise).to(self.loop.device)
            eps = net(z_t.contiguous(memory_format=torch.channels_last), t.to(z_t.device))
            return prior_loss(eps, noise.to(z_t.device), abar.to(z_t.device), self.inner), {}

        start = time.perf_counter()
        cost = self.loop.run(
            model, loss, _Latents(self.images, self.autoencoder, self.loop.device), work
        )
        cost["wall_s"] = round(time.perf_counter() - start + cost.pop("wall_before_s"), 1)
        save_unet(out, model)
        return cost | {"parameters": sum(p.numel() for p in model.parameters())}
