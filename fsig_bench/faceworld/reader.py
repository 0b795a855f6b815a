"""The factor reader: a small CNN that reads the factors and the domain off an image.

Its penultimate layer is the mini suite's feature space (Frechet, KID, precision and recall); its
early maps are the suite's perceptual trunk. Shape legend: n images, f factors, d features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from fsig_bench.api.weights import manifest_entry, verified
from fsig_bench.faceworld.domains import DOMAINS, TEXTURE_DRAWS
from fsig_bench.faceworld.factors import FACTORS, SCALE
from fsig_bench.faceworld.render import CHUNK, paint_factors
from fsig_bench.networks.base import embed

# What the shipped weights tell apart, in the order of their outputs: a domain that is added has no
# class here until a reader is trained with it.
CLASSES = ("adults", "babies", "sunglasses", "sketches", "metfaces", "obama", "cats")
HUES = ("back_hue", "cloth_hue")  # circular: read as a cosine and a sine
COLOUR: tuple[str, ...] = ("skin_tone", "skin_warmth", "hair_light", "hair_red", "eye_blue")
COLOUR += ("light_x", "light_warm", "back_hue", "back_light", "cloth_hue", "cloth_light")
NOT_IN_PAINT = ("eye_blue", "light_warm", "skin_warmth", "back_hue", "cloth_hue", "hair_red")
NOT_ON_CATS: tuple[str, ...] = (
    "jaw",
    "skin_tone",
    "skin_warmth",
    "hair_length",
    "hair_volume",
    "brow_thick",
    "lip_full",
)
NOT_ON_CATS += ("brow_tilt", "mouth_width", "smile", "mouth_open", "cloth_hue", "cloth_light")


def class_of(domain: str) -> int:
    """The reader's class for a domain, its place in CLASSES.

    Raises:
        ValueError: the reader has none; the message names those that it has.
    """
    if domain not in CLASSES:
        raise ValueError(
            f"the factor reader has no class for the domain {domain!r}; it knows "
            f"{', '.join(CLASSES)}"
        )
    return CLASSES.index(domain)


def drawn(table: Tensor, domain: Tensor) -> Tensor:
    """Bool [n, f]: which factors leave any mark, from factors [n, f] and class [n]."""
    col = {name: j for j, name in enumerate(FACTORS)}
    mask = torch.ones_like(table, dtype=torch.bool)

    def hide(rows: Tensor, names: tuple[str, ...]) -> None:
        for name in names:
            mask[rows, col[name]] = False

    hide(domain == class_of("sketches"), COLOUR)
    hide(domain == class_of("metfaces"), NOT_IN_PAINT)
    hide(domain == class_of("cats"), NOT_ON_CATS)
    behind = (table[:, col["glasses"]] > 0.5) & (table[:, col["shade"]] > 0.3)
    hide(behind, ("eye_size", "eye_spacing", "eye_blue", "eye_open", "brow_thick", "brow_tilt"))
    hide(table[:, col["brow_thick"]] < 0.2, ("brow_tilt",))
    hide(table[:, col["back_light"]] < 0.15, ("back_hue",))
    hide(table[:, col["cloth_light"]] < 0.15, ("cloth_hue",))
    hide(table[:, col["hair_length"]] < 0.05, ("hair_light", "hair_red", "hair_volume", "fringe"))
    return mask


def visible(table: Tensor, domain: Tensor) -> Tensor:
    """Bool [n, f]: `drawn`, less the marks that 64 pixels or another part of the face cover.

    A brow thinner than a pixel or behind a rim has no legible tilt; a beard hides the corners of
    the mouth.
    """
    mask, col = drawn(table, domain), {name: j for j, name in enumerate(FACTORS)}
    covered = (table[:, col["brow_thick"]] < 0.35) | (table[:, col["glasses"]] > 0.5)
    mask[:, col["brow_tilt"]] &= ~covered
    mask[:, col["mouth_width"]] &= table[:, col["beard"]] < 0.5
    return mask


def encode(table: Tensor) -> Tensor:
    """Factors [n, f] -> regression targets [n, f + len(HUES)]: hues become cosine and sine."""
    hue = table[:, [FACTORS.index(h) for h in HUES]] * 2 * math.pi
    out = table.clone()
    for j, name in enumerate(HUES):
        out[:, FACTORS.index(name)] = hue[:, j].cos()
    return torch.cat([out, hue.sin()], 1)


def decode(targets: Tensor) -> Tensor:
    """The inverse of `encode`: hues back to [0, 1)."""
    out = targets[:, : len(FACTORS)].clone()
    for j, name in enumerate(HUES):
        angle = torch.atan2(targets[:, len(FACTORS) + j], targets[:, FACTORS.index(name)])
        out[:, FACTORS.index(name)] = (angle / (2 * math.pi)) % 1
    return out


class Stage(nn.Module):
    """Halves the picture, then a residual convolution."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(c_in, c_out, 3, stride, 1)
        self.norm = nn.GroupNorm(8, c_out)
        self.conv = nn.Conv2d(c_out, c_out, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(self.norm(self.down(x)))
        return x + nn.functional.silu(self.conv(x))


class ReaderNet(nn.Module):
    """[n, 3, 64, 64] in [-1, 1] -> maps, features [n, d], factor targets, domain logits."""

    def __init__(self, widths: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            Stage(a, b, 1 if j == 0 else 2)
            for j, (a, b) in enumerate(zip((3, *widths), widths, strict=False))
        )
        side = 64 >> (len(widths) - 1)
        self.neck = nn.Linear(widths[-1] * side * side, features)
        self.factors = nn.Linear(features, len(FACTORS) + len(HUES))
        self.domain = nn.Linear(features, len(CLASSES))

    def maps(self, x: Tensor, *, count: int | None = None) -> list[Tensor]:
        """The outputs of the first `count` stages, shallow to deep; None: of all."""
        out = []
        for stage in self.stages[:count]:
            x = stage(x)
            out.append(x)
        return out

    def features(self, x: Tensor) -> Tensor:
        """float32 [n, d]."""
        return nn.functional.silu(self.neck(self.maps(x)[-1].flatten(1)))

    def heads(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Features -> (factor targets in standard units, domain logits)."""
        return self.factors(z), self.domain(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images -> what `heads` gives of their features."""
        return self.heads(self.features(x))


@dataclass(frozen=True, kw_only=True)
class FactorReader:
    """The shipped reader as an extractor; see `fsig_bench.networks.base` for the interface."""

    weights: str
    trunk_maps: int  # how many of the early maps form the perceptual trunk

    name = "faceworld-reader"
    factor_names = FACTORS
    domain_names = CLASSES
    circular_factors = HUES

    @property
    def digest(self) -> str:
        """sha256 of the weights; cheap, the file is not read."""
        return str(manifest_entry(self.weights)["sha256"])

    @cached_property
    def _parts(self) -> tuple[ReaderNet, Tensor, Tensor]:
        return load_reader(verified(self.weights))

    def _net(self, images: Tensor) -> ReaderNet:
        """The network, moved to where the images are; an offloaded one moves by itself."""
        net = self._parts[0]
        home = next(net.parameters()).device
        return net if home.type == "meta" else net.to(images.device)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, 64, 64] -> float32 [n, d]."""
        return self._net(images).features(_prepare(images))

    def trunk(self, images: Tensor) -> list[Tensor]:
        """float32 [n, 3, 64, 64] in [-1, 1] -> the trunk's maps, differentiable."""
        x = images.contiguous(memory_format=torch.channels_last)
        return self._net(images).maps(x, count=self.trunk_maps)

    def perceive(self, images: Tensor) -> Tensor:
        """float32 [n, 3, 64, 64] in [-1, 1] -> rows [n, e], differentiable."""
        return embed(self.trunk(images))

    @torch.no_grad()
    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [n, d] of images -> their factors [n, f], domain logits [n, domains]."""
        _, mean, sd = self._parts
        targets, logits = self._net(features).heads(features)
        return decode(targets * sd + mean), logits

    def visible(self, factors: Tensor, domain: int) -> Tensor:
        """Bool [n, f]: which factors of images of one domain can be seen at all."""
        return visible(factors, torch.full((len(factors),), domain))

    def redraw(self, factors: Tensor, domain: int) -> Tensor:
        """Images of one domain with these factors and the mean texture, uint8 [n, 3, 64, 64]."""
        kind = DOMAINS[CLASSES[domain]]
        texture = torch.full((len(factors), TEXTURE_DRAWS), 0.5)
        low, high = torch.tensor([SCALE[name] for name in FACTORS]).float().T
        clipped = factors.float().clamp(low, high)
        # Into place at once: small images that stay between large planes would scatter the memory.
        drawn = torch.empty(len(factors), 3, 64, 64, dtype=torch.uint8)
        parts = zip(*(x.split(CHUNK) for x in (drawn, clipped, texture)), strict=True)
        for place, f, t in parts:
            place.copy_(paint_factors(f, t, creature=kind.creature, medium=kind.medium))
        return drawn


def _prepare(images: Tensor) -> Tensor:
    if images.shape[1:] != (3, 64, 64) or images.dtype != torch.uint8:
        raise ValueError(
            f"the reader takes uint8 [n, 3, 64, 64], got {images.dtype} {tuple(images.shape)}"
        )
    x = images.float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def load_reader(path: Path) -> tuple[ReaderNet, Tensor, Tensor]:
    """Network in eval mode, and the mean and sd of its regression targets."""
    import json

    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["architecture"])
        tensors = {k: file.get_tensor(k).float() for k in file.keys()}
    net = ReaderNet(tuple(config["widths"]), config["features"])
    mean, sd = tensors.pop("targets.mean"), tensors.pop("targets.sd")
    net.load_state_dict(tensors)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.eval().requires_grad_(False), mean, sd
