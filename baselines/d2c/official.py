"""D2C's own checkpoint for FFHQ-256 as the latent backend of D2C-style methods.

Sinha et al., NeurIPS 2021, arXiv:2106.06819; the checkpoint that github.com/jiamings/d2c links. Its
prior is DDIM's network on latents that are normalised per channel. Names and shapes must fit, none
missing or left over; it is converted once.

Shape legend: n images, c latent channels, r latent side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import Tensor

from baselines.common.diffusion import Schedule, ddim_from, ddim_loop
from baselines.common.unet import PixelUNet
from baselines.common.weights import converted, read_weights
from baselines.d2c.official_autoencoder import OfficialAutoencoder, OfficialSizes
from baselines.d2c.official_layout import convert_official
from fsig_bench.api import Asset, upload


@dataclass(frozen=True, kw_only=True)
class OfficialBackend:
    """The frozen pair; interface of `LatentBackend`."""

    weights: Asset
    sizes: OfficialSizes
    unet: Mapping[str, object]  # arguments of diffusers' UNet2DModel
    device: str

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        architecture = {"sizes": asdict(self.sizes)}
        path = converted(
            self.weights, "d2c", architecture, lambda state: convert_official(state, self.sizes)
        )
        return read_weights(path)[1]

    def _part(self, name: str) -> dict[str, Tensor]:
        head = f"{name}."
        own = {k: v for k, v in self._tensors.items() if k.startswith(head)}
        return {k.removeprefix(head): v for k, v in own.items()}

    @cached_property
    def _autoencoder(self) -> OfficialAutoencoder:
        net = OfficialAutoencoder(self.sizes)
        net.load_state_dict(self._part("autoencoder"))
        return net.eval().requires_grad_(False).to(self.device)

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        own = self._part("latent")
        mean, sd = (own[k][None, :, None, None].to(self.device) for k in ("mean", "std"))
        return mean, sd

    @cached_property
    def _prior(self) -> PixelUNet:
        unet = PixelUNet(self.unet)
        unet.net.load_state_dict(self._part("prior"))
        return unet.eval().requires_grad_(False).to(self.device)

    @property
    def digest(self) -> str:
        """sha256 of the checkpoint: with the noise, all that decides a latent."""
        return self.weights.digest

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one latent."""
        return self.sizes.latent_channels, self.sizes.latent_side, self.sizes.latent_side

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """[n, 3, h, w] in [-1, 1] -> normalised latents [n, c, r, r]."""
        mean, sd = self._scale
        return (self._autoencoder.encode(images.to(self.device)) - mean) / sd

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Normalised latents -> images [n, 3, h, w] in [-1, 1]."""
        mean, sd = self._scale
        return self._autoencoder.decode(z.to(self.device) * sd + mean)

    def schedule(self, num_steps: int) -> Schedule:
        """Respaced from DDPM's linear one of 1000 steps, which the prior is trained on."""
        return Schedule.respaced(num_steps)

    def denoise(self, noise: Tensor, num_steps: int) -> Tensor:
        """DDIM from pure noise [n, c, r, r] to latents; unclamped, latents have no range."""
        return ddim_loop(
            self._prior.eps, upload(noise, self.device), self.schedule(num_steps), clamp=False
        )

    def denoise_from(self, z: Tensor, noise: Tensor, alpha: float, num_steps: int) -> Tensor:
        """Noises latents to abar = alpha, then DDIM back over the steps below it."""
        z, noise = upload(z, self.device), upload(noise, self.device)
        return ddim_from(self._prior.eps, z, noise, alpha, self.schedule(num_steps))
