"""A latent diffusion model in diffusers' layout as the latent backend of D2C-style methods.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022,
arXiv:2112.10752: a VQ autoencoder and an unconditional prior on its latents before quantisation.
It has no contrastive term, so rows made with it are D2C-style in name and selection only.

Shape legend: n images, c latent channels, r latent side.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from baselines.common.diffusion import Schedule, ddim_from, ddim_loop, scaled_linear_abar
from baselines.common.weights import read_plain
from fsig_bench.api import Asset, ImageGenerators, upload

# Attention layers were called so when these checkpoints were published (diffusers PR 3387).
FORMERLY = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Attention layers under today's names."""
    old = re.compile(rf"(?<=\.)({'|'.join(FORMERLY)})(?=\.(?:weight|bias)$)")
    return {old.sub(lambda m: FORMERLY[m[1]], name): t for name, t in tensors.items()}


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
    least_rebuilt: float  # share of the source images' variance that a round trip must return
    most_spread: float  # the prior's latents may spread so many times as far as encoded images
    device: str

    def _built(self, kind: str, weights: Asset, config: Asset) -> Any:  # Any: of diffusers
        import diffusers

        settings = json.loads(config.get().read_text())
        net = getattr(diffusers, kind).from_config(settings)
        net.load_state_dict(renamed(read_plain(weights)))  # strict: none missing or left over
        return net.eval().requires_grad_(False).to(self.device)

    @cached_property
    def _autoencoder(self) -> Any:  # Any: of diffusers, without types
        return self._built("VQModel", self.autoencoder, self.autoencoder_config)

    @cached_property
    def _prior(self) -> Any:  # Any: of diffusers, without types
        return self._built("UNet2DModel", self.prior, self.prior_config)

    @property
    def digest(self) -> str:
        """Of all that decides a latent besides the noise: weights, architecture, schedule."""
        files = [self.prior.digest, self.prior_config.digest]
        parts = json.dumps([*files, self.first_beta, self.last_beta])
        return hashlib.sha256(parts.encode()).hexdigest()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one latent."""
        config = self._prior.config
        return config.in_channels, config.sample_size, config.sample_size

    def check(self, images: Tensor, count: int = 8, num_steps: int = 20) -> None:
        """Tries the pair on a few source images.

        A round trip finds a wrong autoencoder, but a wrong `scale` cancels in it: that one shows in
        the spread of the prior's latents beside that of encoded images.

        Raises:
            ValueError: they do not fit together; the message has the numbers.
        """
        x = images[:count]
        z = self.encode(x)
        rebuilt = 1 - float((self.decode(z).cpu() - x).square().mean() / x.var())
        noise = ImageGenerators(0, range(count), "ldm check").randn(*self.shape)
        spread = float(self.denoise(noise, num_steps).std() / z.std())
        if not rebuilt >= self.least_rebuilt:
            raise ValueError(
                f"encoding and decoding {len(x)} source images returns {rebuilt:.3f} of their "
                f"variance, less than least_rebuilt={self.least_rebuilt:g}: {self.autoencoder.file}"
                " or its config is another one than it should be"
            )
        if not 1 / self.most_spread <= spread <= self.most_spread:
            raise ValueError(
                f"latents of the prior spread {spread:.3f} times as far as encoded source images, "
                f"beyond most_spread={self.most_spread:g}: scale={self.scale:g} does not fit "
                f"{self.prior.file} (1 for VQ-f4; diffusers' default of 0.18215 would be 5.5 times "
                "off), or the source images are of another domain"
            )

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
