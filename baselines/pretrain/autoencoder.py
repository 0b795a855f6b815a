"""Pretrains the D2C-style autoencoder on a source domain: reconstruction and MoCo v2.

Stage A of D2C's code (arXiv:2106.06819): recon_nats / 17500 + CE, where recon_nats is the negative
log-likelihood of the augmented query crop and CE the contrastive loss of MoCo (He et al.,
arXiv:1911.05722; v2: arXiv:2003.04297) with a momentum encoder and a queue.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.common.autoencoder import (
    Autoencoder,
    AutoencoderSizes,
    mixture_mean,
    mixture_nll,
    save_autoencoder,
)
from baselines.pretrain.loop import ImageSource, Loop
from fsig_bench.api import JsonDict, generator, to_float


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """MoCo v2's views; probabilities and ranges per image."""

    min_scale: float  # of the crop's area
    jitter: float  # probability
    grey: float
    flip: float
    hue: float  # largest turn of the hue, with `jitter`
    blur: float

    def __call__(self, x: Tensor, g: torch.Generator) -> Tensor:
        """One random view of each image [n, 3, h, w] in [-1, 1]."""
        n = len(x)

        def uniform(low: float, high: float) -> Tensor:
            return (low + (high - low) * torch.rand(n, generator=g)).to(x.device)

        area, ratio = uniform(self.min_scale, 1), uniform(math.log(3 / 4), math.log(4 / 3)).exp()
        wide = (area * ratio).sqrt().clamp(max=1)
        high = (area / ratio).sqrt().clamp(max=1)
        shift_x, shift_y = uniform(-1, 1) * (1 - wide), uniform(-1, 1) * (1 - high)
        mirror = torch.where(uniform(0, 1) < self.flip, -1.0, 1.0)
        theta = x.new_zeros(n, 2, 3)
        theta[:, 0, 0], theta[:, 0, 2] = wide * mirror, shift_x
        theta[:, 1, 1], theta[:, 1, 2] = high, shift_y
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        y = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        y = (y + 1) / 2

        def some(p: float) -> Tensor:
            return (uniform(0, 1) < p)[:, None, None, None]

        def factor() -> Tensor:
            return uniform(0.6, 1.4)[:, None, None, None]

        grey = y.new_tensor([0.299, 0.587, 0.114])[:, None, None]
        bright, contrast, colour = factor(), factor(), factor()
        jittered = y * bright
        jittered = (jittered - jittered.mean((1, 2, 3), keepdim=True)) * contrast + jittered.mean(
            (1, 2, 3), keepdim=True
        )
        lum = (jittered * grey).sum(1, keepdim=True)
        jittered = lum + (jittered - lum) * colour
        chosen = some(self.jitter)
        if self.hue:
            jittered = turned(jittered, uniform(-self.hue, self.hue))
        y = torch.where(chosen, jittered, y)
        y = torch.where(some(self.grey), (y * grey).sum(1, keepdim=True), y)
        if self.blur:
            y = torch.where(some(self.blur), blurred(y, uniform(0.1, 2)), y)
        # Back to 8 bits: the likelihood counts bins.
        return (y.clamp(0, 1) * 255).round() / 127.5 - 1


def turned(y: Tensor, turn: Tensor) -> Tensor:
    """RGB with its hue turned by [n] parts of a circle: chroma rotated around the grey axis."""
    a = 2 * math.pi * turn[:, None, None]
    cos, sin = a.cos(), a.sin() / math.sqrt(3)
    third = y.new_full((3, 3), 1 / 3)
    cross = y.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    spin = cos * torch.eye(3, device=y.device) + (1 - cos) * third + sin * cross  # Rodrigues
    return torch.einsum("ncd,ndhw->nchw", spin, y)


def blurred(y: Tensor, sigma: Tensor) -> Tensor:
    """Each image under a Gaussian of its own width, sigma [n] in pixels, up to 2."""
    n, c, reach = len(y), y.shape[1], 6
    offset = torch.arange(-reach, reach + 1, device=y.device)
    tap = (-(offset**2) / (2 * sigma[:, None] ** 2)).exp()
    tap = (tap / tap.sum(1, keepdim=True)).repeat_interleave(c, 0)[:, None]
    flat = F.pad(y, (reach,) * 4, mode="reflect").reshape(
        1, n * c, *(s + 2 * reach for s in y.shape[2:])
    )
    flat = F.conv2d(F.conv2d(flat, tap[:, :, None], groups=n * c), tap[..., None], groups=n * c)
    return flat.view_as(y)


class Contrast(nn.Module):
    """The autoencoder with MoCo's projection head, momentum copy and queue."""

    keys: Tensor
    cursor: Tensor

    def __init__(self, sizes: AutoencoderSizes, dim: int, hidden: int, queue: int) -> None:
        super().__init__()
        self.net = Autoencoder(sizes)
        flat = sizes.latent_channels * sizes.latent_side**2
        self.head = nn.Sequential(nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.momentum = copy.deepcopy(nn.ModuleList([self.net.encoder, self.head]))
        self.momentum.requires_grad_(False)
        self.register_buffer("keys", F.normalize(torch.randn(queue, dim), dim=1))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def follow(self, keep: float) -> None:
        """Moves the momentum copy."""
        own = nn.ModuleList([self.net.encoder, self.head])
        for slow, fast in zip(self.momentum.parameters(), own.parameters(), strict=True):
            slow.lerp_(fast, 1 - keep)

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Replaces the oldest keys."""
        start, n = int(self.cursor), len(keys)
        self.keys[torch.arange(start, start + n) % len(self.keys)] = keys.to(self.keys.dtype)
        self.cursor.fill_((start + n) % len(self.keys))


def moco_loss(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each query [n, d] against its key and the queue [q, d], rows of unit length."""
    positive = (query * key).sum(1, keepdim=True)
    logits = torch.cat([positive, query @ queue.T], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))


def edge_loss(y: Tensor, x: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbouring pixels, of [n, c, h, w].

    A squared error of pixels hardly sees a blurred edge; this one sees its whole height.
    """
    gap = y - x
    return gap.diff(dim=2).abs().mean() + gap.diff(dim=3).abs().mean()


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """How the weights were made; the values stand in conf/pretrain/autoencoder.yaml."""

    images: ImageSource
    sizes: AutoencoderSizes
    augmentation: Augmentation
    contrast_dim: int
    contrast_hidden: int
    queue: int
    momentum: float
    temperature: float
    nats_per_unit: float
    scale: float | None  # of the logistic, in [-1, 1]; None: predicted per pixel
    loop: Loop
    plain: float = 0.0  # share of a batch rebuilt as it is: crops are resampled, hence blurred
    edge_weight: float = 0.0  # of `edge_loss` between the mean image and its target

    def run(self, out: Path, work: Path) -> JsonDict:
        """Trains (or continues), writes `out` with the latents' statistics, returns the cost."""
        torch.manual_seed(self.loop.seed)  # initial weights
        model = Contrast(self.sizes, self.contrast_dim, self.contrast_hidden, self.queue)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        compiled: dict[str, Callable[..., Any]] = {}

        def loss(
            net: Callable[..., object], pixels: Tensor, step: int
        ) -> tuple[Tensor, dict[str, float]]:
            g = generator(self.loop.seed, "views", step)
            # Crops in bf16 would be pixels off.
            with torch.autocast(torch.device(self.loop.device).type, enabled=False):
                x = to_float(pixels.to(self.loop.device))
                views = [self.augmentation(x, g) for _ in range(2)]
                as_is = round(self.plain * len(x))
                views[0][:as_is] = x[:as_is]
            a, b = (v.contiguous(memory_format=torch.channels_last) for v in views)
            if not compiled:
                query_of, key_of = partial(self._query, model), partial(self._key, model)
                compiled["query"] = torch.compile(query_of) if self.loop.compile else query_of
                compiled["key"] = torch.compile(key_of) if self.loop.compile else key_of
            model.follow(self.momentum)
            with torch.no_grad():
                key = compiled["key"](b).float()
            p, query = compiled["query"](a)
            nats = mixture_nll(p.float(), a, self.scale).mean()
            contrast = moco_loss(query.float(), key, model.keys.clone(), self.temperature)
            model.push(key)
            logs = {"bits_per_dim": float(nats.detach()) / x[0].numel() / math.log(2)}
            logs |= {"contrast": float(contrast.detach())}
            total = nats / self.nats_per_unit + contrast
            if self.edge_weight:
                edges = edge_loss(mixture_mean(p.float()), a)
                logs |= {"edges": float(edges.detach())}
                total = total + self.edge_weight * edges
            return total, logs

        start = time.perf_counter()
        cost = self.loop.run(model, loss, self.images, work)
        cost["wall_s"] = round(time.perf_counter() - start + cost.pop("wall_before_s"), 1)
        net = model.net.eval()
        save_autoencoder(out, net, self.statistics(net, self.images.pool(work)))
        return cost | {"parameters": sum(p.numel() for p in net.parameters())}

    @staticmethod
    def _query(model: Contrast, a: Tensor) -> tuple[Tensor, Tensor]:
        z = model.net.encode(a)
        return model.net.parameters_of(z), F.normalize(model.head(z.flatten(1)), dim=1)

    @staticmethod
    def _key(model: Contrast, b: Tensor) -> Tensor:
        encoder, head = model.momentum
        return F.normalize(head(encoder(b).flatten(1)), dim=1)

    @staticmethod
    @torch.no_grad()
    def statistics(net: Autoencoder, pool: Tensor, count: int = 5000) -> dict[str, Tensor]:
        """Per-channel mean and sd of the latents, [c]: the prior works on (z - mean) / sd."""
        device = next(net.parameters()).device
        parts = pool[:count].split(100)
        z = torch.cat([net.encode(to_float(part).to(device)).cpu() for part in parts])
        return {"latent.mean": z.mean((0, 2, 3)), "latent.sd": z.std((0, 2, 3))}
