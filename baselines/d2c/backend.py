"""The latent backend of D2C-style methods: an autoencoder and a diffusion prior on its latents.

Shape legend: n images, c latent channels, r latent side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from baselines.common.autoencoder import Autoencoder, load_autoencoder
from baselines.common.choices import check_choices
from baselines.common.diffusion import Schedule, Solver, ddim_from, linear_abar, solve
from baselines.common.unet import PixelUNet, load_unet
from fsig_bench.api import manifest_entry, upload, verified


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One weight file of a suite."""

    weights: str


@dataclass(frozen=True, kw_only=True)
class LatentBackend:
    """The frozen pair; latents are normalised per channel (D2C's code, `latent_mod`)."""

    autoencoder: Weights
    prior: Weights
    solver: Solver  # from pure noise; the edit's partial way back is DDIM's
    device: str

    def __post_init__(self) -> None:
        check_choices(self)

    @cached_property
    def _autoencoder(self) -> tuple[Autoencoder, Tensor, Tensor]:
        path = verified(self.autoencoder.weights)
        net, extra = load_autoencoder(path, ("latent.mean", "latent.sd"))
        mean, sd = (extra[k][None, :, None, None].to(self.device) for k in extra)
        return net.to(self.device), mean, sd

    @cached_property
    def _prior(self) -> PixelUNet:
        return load_unet(verified(self.prior.weights)).to(self.device)

    @property
    def digest(self) -> str:
        """The prior's sha256 and the solver: with noise and steps, all that decides a latent."""
        return f"{manifest_entry(self.prior.weights)['sha256']} {self.solver}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one latent."""
        sizes = self._autoencoder[0].sizes
        return sizes.latent_channels, sizes.latent_side, sizes.latent_side

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """[n, 3, h, w] in [-1, 1] -> normalised latents [n, c, r, r]."""
        net, mean, sd = self._autoencoder
        return (net.encode(images.to(self.device)) - mean) / sd

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Normalised latents -> images [n, 3, h, w] in [-1, 1]."""
        net, mean, sd = self._autoencoder
        return net.decode(z.to(self.device) * sd + mean)

    def schedule(self, num_steps: int) -> Schedule:
        """Respaced from DDPM's linear one of 1000 steps, which the priors here are trained on."""
        return Schedule.respaced(num_steps)

    def denoise(self, noise: Tensor, num_steps: int) -> Tensor:
        """Pure noise [n, c, r, r] to latents; unclamped, latents have no range."""
        x, table = upload(noise, self.device), linear_abar()
        return solve(self.solver, self._prior.eps, x, num_steps=num_steps, table=table, clamp=False)

    def denoise_from(self, z: Tensor, noise: Tensor, alpha: float, num_steps: int) -> Tensor:
        """Noises latents to abar = alpha, then DDIM back over the steps below it."""
        z, noise = upload(z, self.device), upload(noise, self.device)
        return ddim_from(self._prior.eps, z, noise, alpha, self.schedule(num_steps))
