"""The autoencoder of D2C's own checkpoint for FFHQ-256.

Sinha et al., NeurIPS 2021, arXiv:2106.06819, as github.com/jiamings/d2c has it: a deterministic
encoder and a decoder of NVAE's cells, with latents 8 x 32 x 32 of images of 5 bits.

Shape legend: n images, c latent channels, r latent side, m mixture components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.common.autoencoder import DecoderCell, EncoderCell, mixture_mean

RESIDUAL = 0.1  # weight of a cell's body


@dataclass(frozen=True, kw_only=True)
class OfficialSizes:
    """Of the autoencoder; the values stand in YAML."""

    resolution: int
    bits: int  # images are rounded down to so many before they are encoded
    widths: Sequence[int]  # from the finest stage down; each stage halves the side
    encoder_cells: Sequence[int]  # per stage
    decoder_cells: Sequence[int]  # per stage, in the encoder's order
    expand: Sequence[int]  # of the decoder's inverted residuals, per stage
    latent_channels: int
    mixtures: int

    @property
    def latent_side(self) -> int:
        return self.resolution >> (len(self.widths) - 1)


class OfficialAutoencoder(nn.Module):
    """Images [n, 3, s, s] in [-1, 1] <-> latents [n, c, r, r]."""

    def __init__(self, sizes: OfficialSizes) -> None:
        super().__init__()
        self.sizes, w = sizes, list(sizes.widths)
        down: list[nn.Module] = [nn.Conv2d(3, w[0], 3, 1, 1)]
        for stage, (width, cells) in enumerate(zip(w, sizes.encoder_cells, strict=True)):
            if stage:
                down.append(EncoderCell(w[stage - 1], width, RESIDUAL, down=True))
            down += [EncoderCell(width, width, RESIDUAL, down=False) for _ in range(cells)]
        down += [nn.ELU(), nn.Conv2d(w[-1], w[-1], 1), nn.ELU()]
        down.append(nn.Conv2d(w[-1], sizes.latent_channels, 3, 1, 1))
        self.encoder = nn.Sequential(*down)
        up: list[nn.Module] = [nn.Conv2d(sizes.latent_channels, w[-1], 3, 1, 1)]
        for stage in reversed(range(len(w))):
            width, wide = w[stage], sizes.expand[stage]
            if stage < len(w) - 1:
                up.append(DecoderCell(w[stage + 1], width, wide, RESIDUAL, up=True))
            up += [
                DecoderCell(width, width, wide, RESIDUAL, up=False)
                for _ in range(sizes.decoder_cells[stage])
            ]
        up += [nn.ELU(), nn.Conv2d(w[0], 10 * sizes.mixtures, 3, 1, 1)]
        self.decoder = nn.Sequential(*up)

    def encode(self, x: Tensor) -> Tensor:
        """Latents, not normalised, of images rounded down to the checkpoint's bits."""
        dropped = 2 ** (8 - self.sizes.bits)
        levels = torch.floor(((x + 1) * 127.5).round() / dropped) / (2**self.sizes.bits - 1)
        z: Tensor = self.encoder(2 * levels - 1)
        return z

    def decode(self, z: Tensor) -> Tensor:
        """The mixture's mean image; the official code draws a sample, which adds pixel noise."""
        return mixture_mean(self.decoder(z)).clamp(-1, 1)
