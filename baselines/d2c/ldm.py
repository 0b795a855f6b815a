"""A latent diffusion model in diffusers' layout as the latent backend of D2C-style methods.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022,
arXiv:2112.10752: a VQ autoencoder and an unconditional prior on its latents before quantisation.
It has no contrastive term, so rows made with it are D2C-style in name and selection only.

Shape legend: n images, c latent channels, r latent side.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from baselines.common.diffusion import Schedule, ddim_from, ddim_loop, scaled_linear_abar
from baselines.common.weights import read_plain
from fsig_bench.download import Asset
from fsig_bench.images import upload


@dataclass(frozen=True, kw_only=True)
class LDMBackend:
    """The frozen pair; interface of `LatentBackend`."""

    autoencoder: Asset
    autoencoder_config: Asset
    prior: Asset
    prior_config: Asset
    scale: float  # latents are multiplied by it; VQ-f4's is 1, whatever a config.json says
    first_beta: float
    last_beta: float
    device: str

    def _built(self, kind: str, weights: Asset, config: Asset) -> Any:
        import diffusers

        settings = json.loads(config.get().read_text())
        net = getattr(diffusers, kind).from_config(settings)
        net.load_state_dict(read_plain(weights))  # strict: nothing missing or left over
        return net.eval().requires_grad_(False).to(self.device)

    @cached_property
    def _autoencoder(self) -> Any:
        return self._built("VQModel", self.autoencoder, self.autoencoder_config)

    @cached_property
    def _prior(self) -> Any:
        return self._built("UNet2DModel", self.prior, self.prior_config)

    @property
    def digest(self) -> str:
        """Of the prior's weights."""
        return self.prior.digest

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one latent."""
        config = self._prior.config
        return config.in_channels, config.sample_size, config.sample_size

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """[n, 3, h, w] in [-1, 1] -> latents [n, c, r, r] before quantisation."""
        return self.scale * self._autoencoder.encode(images.to(self.device)).latents

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Latents, quantised here -> images [n, 3, h, w] in [-1, 1]."""
        return self._autoencoder.decode(z.to(self.device) / self.scale).sample.clamp(-1, 1)

    @torch.no_grad()
    def eps(self, x: Tensor, t: int | Tensor) -> Tensor:
        """Predicted noise, shaped like x."""
        steps = torch.as_tensor(t, device=x.device).expand(len(x))
        return self._prior(x, steps).sample

    def schedule(self, num_steps: int) -> Schedule:
        """Respaced from the 1000 steps of training."""
        table = scaled_linear_abar(1000, self.first_beta, self.last_beta)
        return Schedule.respaced(num_steps, table)

    def denoise(self, noise: Tensor, num_steps: int) -> Tensor:
        """DDIM from pure noise [n, c, r, r] to latents; unclamped, latents have no range."""
        return ddim_loop(
            self.eps, upload(noise, self.device), self.schedule(num_steps), clamp=False
        )

    def denoise_from(self, z: Tensor, noise: Tensor, alpha: float, num_steps: int) -> Tensor:
        """Noises latents to abar = alpha, then DDIM back over the steps below it."""
        z, noise = upload(z, self.device), upload(noise, self.device)
        return ddim_from(self.eps, z, noise, alpha, self.schedule(num_steps))
