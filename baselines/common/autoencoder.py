"""The autoencoder of D2C-style methods: image <-> one spatial latent.

After Sinha et al., "D2C", NeurIPS 2021, arXiv:2106.06819, whose code takes its cells from NVAE
(Vahdat & Kautz, arXiv:2007.03898): a deterministic encoder of residual cells with squeeze-excite, a
decoder of inverted residual cells, and a mixture of discretised logistics over the pixels (Salimans
et al., PixelCNN++, arXiv:1701.05517, section 2.1). Plain convolutions instead of weight-normalised
ones.

Shape legend: n images, c latent channels, r latent side, m mixture components.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.common.fullres import FullResolution
from baselines.common.weights import read_weights
from fsig_bench.api import write_safetensors


@dataclass(frozen=True, kw_only=True)
class AutoencoderSizes:
    """Sizes; the values stand in YAML."""

    resolution: int
    patch: int  # pixels of a patch become channels at both ends; official: 1
    residual: float  # weight of a cell's body; official: 0.1, for stacks of 16 cells
    widths: Sequence[int]  # from the finest stage down; each stage halves the side
    encoder_cells: Sequence[int]  # per stage
    decoder_cells: Sequence[int]  # per stage, in the encoder's order
    latent_channels: int
    expand: int  # of the decoder's inverted residuals
    mixtures: int
    fine: int = 0  # channels of the decoder's path at full resolution; only where patch > 1

    @property
    def latent_side(self) -> int:
        return self.resolution // self.patch >> (len(self.widths) - 1)


class SqueezeExcite(nn.Module):
    """Scales channels by a gate from their means."""

    def __init__(self, c: int) -> None:
        super().__init__()
        hidden = max(c // 16, 4)
        self.gate = nn.Sequential(nn.Linear(c, hidden), nn.ReLU(), nn.Linear(hidden, c))

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(x.mean((2, 3))).sigmoid()
        return x * gate[:, :, None, None]


def norm_act(c: int) -> nn.Sequential:
    """Batch norm (momentum 0.05, as in the code) and swish."""
    return nn.Sequential(nn.BatchNorm2d(c, momentum=0.05), nn.SiLU())


class EncoderCell(nn.Module):
    """x + residual SE(two BN-swish-3x3), halving the side if `down`."""

    def __init__(self, c_in: int, c_out: int, residual: float, *, down: bool) -> None:
        super().__init__()
        self.residual = residual
        self.body = nn.Sequential(
            norm_act(c_in),
            nn.Conv2d(c_in, c_out, 3, 2 if down else 1, 1),
            norm_act(c_out),
            nn.Conv2d(c_out, c_out, 3, 1, 1),
            SqueezeExcite(c_out),
        )
        self.skip: nn.Module = nn.Identity()
        if down:  # the four pixel offsets, each seen by its own 1x1 convolution
            self.skip = nn.Sequential(
                nn.SiLU(), nn.PixelUnshuffle(2), nn.Conv2d(4 * c_in, c_out, 1)
            )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.skip(x) + self.residual * self.body(x)
        return out


class DecoderCell(nn.Module):
    """x + residual SE(inverted residual with a 5x5 depthwise), doubling the side if `up`."""

    def __init__(self, c_in: int, c_out: int, expand: int, residual: float, *, up: bool) -> None:
        super().__init__()
        wide, self.residual = c_in * expand, residual
        self.up = up
        self.body = nn.Sequential(
            nn.BatchNorm2d(c_in, momentum=0.05),
            nn.Conv2d(c_in, wide, 1, bias=False),
            norm_act(wide),
            nn.Conv2d(wide, wide, 5, 1, 2, groups=wide, bias=False),
            norm_act(wide),
            nn.Conv2d(wide, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out, momentum=0.05),
            SqueezeExcite(c_out),
        )
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        near = x
        if self.up:
            near = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        out: Tensor = self.skip(x) + self.residual * self.body(near)
        return out


class Autoencoder(nn.Module):
    """Images [n, 3, s, s] in [-1, 1] <-> latents [n, c, r, r]."""

    def __init__(self, sizes: AutoencoderSizes) -> None:
        super().__init__()
        w, res, self.sizes = list(sizes.widths), sizes.residual, sizes
        fold = sizes.patch**2
        down: list[nn.Module] = [nn.Conv2d(3 * fold, w[0], 3, 1, 1)]
        for stage, (width, cells) in enumerate(zip(w, sizes.encoder_cells, strict=True)):
            if stage:
                down.append(EncoderCell(w[stage - 1], width, res, down=True))
            down += [EncoderCell(width, width, res, down=False) for _ in range(cells)]
        down += [nn.ELU(), nn.Conv2d(w[-1], sizes.latent_channels, 3, 1, 1)]
        self.encoder = nn.Sequential(nn.PixelUnshuffle(sizes.patch), *down)
        up: list[nn.Module] = [nn.Conv2d(sizes.latent_channels, w[-1], 3, 1, 1)]
        for stage in reversed(range(len(w))):
            width = w[stage]
            if stage < len(w) - 1:
                up.append(DecoderCell(w[stage + 1], width, sizes.expand, res, up=True))
            up += [
                DecoderCell(width, width, sizes.expand, res, up=False)
                for _ in range(sizes.decoder_cells[stage])
            ]
        said = 10 * sizes.mixtures
        up += [nn.ELU(), nn.Conv2d(w[0], (said + sizes.fine) * fold, 3, 1, 1)]
        up.append(nn.PixelShuffle(sizes.patch))
        self.decoder = nn.Sequential(*up)
        if sizes.fine:
            self.full = FullResolution(sizes.fine, said, seen=said)

    def encode(self, x: Tensor) -> Tensor:
        """Latents, not normalised."""
        z: Tensor = self.encoder(x)
        return z

    def parameters_of(self, z: Tensor) -> Tensor:
        """The mixture's parameters [n, 10 m, s, s]."""
        out: Tensor = self.decoder(z)
        if not self.sizes.fine:
            return out
        said, features = out.tensor_split([10 * self.sizes.mixtures], 1)
        corrected: Tensor = said + self.full(said, features)
        return corrected

    def decode(self, z: Tensor) -> Tensor:
        """The mixture's mean image; the official code draws a sample, which adds pixel noise."""
        return mixture_mean(self.parameters_of(z)).clamp(-1, 1)


def split_mixture(p: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """(log weights [n, m, h, w], means and log scales [n, 3, m, h, w]).

    Green's mean depends on red, blue's on both (PixelCNN++, section 2.2): on the true colours `x`
    if given, else on the means themselves.
    """
    n, c, h, w = p.shape
    m = c // 10
    log_weights = p[:, :m].log_softmax(1)
    mean, log_scale, coef = p[:, m:].view(n, 3, 3, m, h, w).unbind(1)
    log_scale, coef = log_scale.clamp(min=-7), coef.tanh()
    red = mean[:, 0]
    seen = (x[:, 0, None], x[:, 1, None]) if x is not None else None
    green = mean[:, 1] + coef[:, 0] * (seen[0] if seen else red)
    r, g = seen if seen else (red, green)
    blue = mean[:, 2] + coef[:, 1] * r + coef[:, 2] * g
    return log_weights, torch.stack([red, green, blue], 1), log_scale


def mixture_mean(p: Tensor) -> Tensor:
    """E[x] of each pixel, the components' means weighted, [n, 3, h, w]."""
    log_weights, mean, _ = split_mixture(p)
    return (mean * log_weights.exp()[:, None]).sum(2)


def mixture_nll(p: Tensor, x: Tensor, scale: float | None = None) -> Tensor:
    """-log p(x) in nats, summed over pixels, [n]; x in [-1, 1] of 8 bits (PixelCNN++, Eq. 2).

    `scale` replaces the predicted scales by one number.
    """
    log_weights, mean, log_scale = split_mixture(p, x)
    if scale is not None:
        log_scale = torch.full_like(log_scale, math.log(scale))
    gap, inverse = x[:, :, None] - mean, (-log_scale).exp()
    plus, minus = inverse * (gap + 1 / 255), inverse * (gap - 1 / 255)
    inside = plus.sigmoid() - minus.sigmoid()
    # Where the bin holds almost nothing: density at its centre times its width.
    centre = inverse * gap
    tail = centre - log_scale - 2 * F.softplus(centre) + torch.log(torch.tensor(2 / 255))
    bulk = torch.where(inside > 1e-5, inside.clamp(min=1e-12).log(), tail)
    low = plus - F.softplus(plus)  # log sigmoid: everything below the first bin's edge
    high = -F.softplus(minus)
    edge = x[:, :, None]
    log_p = torch.where(edge < -0.999, low, torch.where(edge > 0.999, high, bulk))
    return -(log_p.sum(1) + log_weights).logsumexp(1).sum((1, 2))


def save_autoencoder(path: Path, net: Autoencoder, extra: Mapping[str, Tensor]) -> str:
    """Writes fp16 safetensors with the architecture as metadata; `extra` stays float32."""
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    sizes = {k: list(v) if isinstance(v, Sequence) else v for k, v in asdict(net.sizes).items()}
    if not net.sizes.fine:
        del sizes["fine"]  # as before there was one
    return write_safetensors(path, {**tensors, **extra}, {"architecture": json.dumps(sizes)})


def load_autoencoder(path: Path, extra: Sequence[str]) -> tuple[Autoencoder, dict[str, Tensor]]:
    """Reads what `save_autoencoder` wrote: float32, eval mode, frozen; and its extra tensors."""
    sizes, tensors = read_weights(path)
    others = {k: tensors.pop(k) for k in extra}
    net = Autoencoder(AutoencoderSizes(**sizes))
    net.load_state_dict(tensors)
    return net.eval().requires_grad_(False), others
