"""Sets of images with one planted fault each, for an audit of metrics.

A fault has a dial, its strength. At strength 0 each gives fresh images of the target as they are.
Faults of pixels work on the same images at every strength; faults of shares replace images, evenly
spread over the set, so that each part of the set has the fault in the same measure.

Shape legend: n images, k shots.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fsig_bench.faceworld.domains import DOMAINS, draw
from fsig_bench.faceworld.factors import FACTORS, Table
from fsig_bench.faceworld.render import CHUNK, paint_factors, render

LAW_DRAWS = 4000  # factors that a quantile is taken of; they are drawn, not painted
SPARE = 1_000_000  # fresh images from here on replace others
SPARED = 20  # of these for each image, so that other sets take other ones
BATCH = 4000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What faults are planted in: fresh images of the target, `first` to `first + count`."""

    domain: str
    source_domain: str
    count: int
    first: int


class Fault(Protocol):
    """A frozen dataclass whose values stand in conf/audit/."""

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        """Images uint8 [count, 3, 64, 64] with the fault, from shots uint8 [k, 3, 64, 64]."""
        ...


@lru_cache(maxsize=4)
def fresh_images(setting: Setting) -> Tensor:
    """uint8 [count, 3, 64, 64] without a fault; not to be changed in place."""
    return render(setting.domain, "fresh", range(setting.first, setting.first + setting.count))[0]


def to_bytes(images: Tensor) -> Tensor:
    """To uint8 from floats [n, 3, h, w], rounded and cut at 0 and 255."""
    return images.round().clamp(0, 255).to(torch.uint8)


def evenly(count: int, share: float) -> Tensor:
    """Which of `count` places a share takes, bool [count], evenly spread."""
    steps = torch.floor(torch.arange(count + 1, dtype=torch.float64) * share + 1e-9)
    return steps[1:] > steps[:-1]


@dataclass(frozen=True, kw_only=True)
class Checkerboard:
    """Adds and takes away `strength` grey levels on alternate pixels."""

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        images = fresh_images(setting)
        h, w = images.shape[2:]
        sign = 1.0 - 2.0 * ((torch.arange(h)[:, None] + torch.arange(w)) % 2)
        return to_bytes(images + strength * sign)


@dataclass(frozen=True, kw_only=True)
class Stripes:
    """Adds and takes away `strength` grey levels on alternate columns."""

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        images = fresh_images(setting)
        sign = 1.0 - 2.0 * (torch.arange(images.shape[3]) % 2)
        return to_bytes(images + strength * sign)


@dataclass(frozen=True, kw_only=True)
class Blur:
    """A Gaussian blur whose standard deviation is `strength` pixels."""

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        images = fresh_images(setting)
        if strength == 0:
            return images
        reach = int(4 * strength) + 1
        kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / strength).square())
        kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
        x = F.pad(images.float(), (reach,) * 4, mode="reflect")
        x = F.conv2d(F.conv2d(x, kernel, groups=3), kernel.mT, groups=3)
        return to_bytes(x)


@dataclass(frozen=True, kw_only=True)
class ColourCast:
    """Red is brighter and blue darker by the share `strength`."""

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        gain = torch.tensor([1 + strength, 1.0, 1 - strength])[:, None, None]
        return to_bytes(fresh_images(setting) * gain)


@dataclass(frozen=True, kw_only=True)
class MissingMode:
    """The share `strength` of the domain with the lowest values of a factor does not occur."""

    factor: str

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        column = FACTORS.index(self.factor)
        law = draw(setting.domain, "reference", range(LAW_DRAWS))[0][:, column]
        least = torch.from_numpy(law).double().quantile(strength)
        last = setting.first + setting.count
        own = draw(setting.domain, "fresh", range(setting.first, last))[0][:, column]
        lost = torch.from_numpy(own).double() < least
        images, found = fresh_images(setting).clone(), list[int]()
        start = SPARE + SPARED * setting.first
        while len(found) < int(lost.sum()):
            values = draw(setting.domain, "fresh", range(start, start + BATCH))[0][:, column]
            there = (torch.from_numpy(values).double() >= least).nonzero().flatten() + start
            found, start = [*found, *there.tolist()], start + BATCH
        images[lost] = render(setting.domain, "fresh", found[: int(lost.sum())])[0]
        return images


def towards_median(table: Table, law: Table, share: float) -> Table:
    """Each factor's quantile in its law moved to the median by a share; values that the law has.

    Args:
        table: factors [n, f].
        law: draws of the same factors [m, f].
        share: from 0, which changes nothing, to 1.
    """
    if share == 0:
        return table
    moved, count = table.copy(), len(law)
    for column, values in enumerate(np.sort(law, axis=0).T):
        own = table[:, column]
        sides = [np.searchsorted(values, own, side=side) for side in ("left", "right")]
        quantile = 0.5 + (1 - share) * ((sides[0] + sides[1]) / (2 * count) - 0.5)
        moved[:, column] = values[np.clip((quantile * count).astype(int), 0, count - 1)]
    return moved


def repainted(setting: Setting, taken: Tensor, *, narrowed: float, medium: str) -> Tensor:
    """Fresh images, of which those that are `taken`, bool [count], are painted in another way.

    Args:
        setting: the images.
        taken: which of them.
        narrowed: the share by which each factor's quantile lies nearer to the median.
        medium: that they are painted in.
    """
    images, places = fresh_images(setting).clone(), taken.nonzero().flatten()
    table, texture, _ = draw(setting.domain, "fresh", [setting.first + int(i) for i in places])
    law = draw(setting.domain, "reference", range(LAW_DRAWS))[0]
    moved = torch.from_numpy(towards_median(table, law, narrowed))
    creature = DOMAINS[setting.domain].creature
    parts = (x.split(CHUNK) for x in (places, moved, torch.from_numpy(texture)))
    for place, factors, offsets in zip(*parts, strict=True):
        images[place] = paint_factors(factors, offsets, creature=creature, medium=medium)
    return images


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """Every factor's quantile lies nearer to its median, by the share `strength`."""

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        everywhere = torch.full((setting.count,), strength > 0)
        medium = DOMAINS[setting.domain].medium
        return repainted(setting, everywhere, narrowed=strength, medium=medium)


@dataclass(frozen=True, kw_only=True)
class WrongMedium:
    """The share `strength` of the images, with their factors, is painted in another medium."""

    medium: str
    instead: str  # where the domain's own medium is `medium`

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        own = DOMAINS[setting.domain].medium
        medium = self.instead if own == self.medium else self.medium
        taken = evenly(setting.count, strength)
        return repainted(setting, taken, narrowed=0.0, medium=medium)


@dataclass(frozen=True, kw_only=True)
class Copies:
    """The share `strength` of the images are shots, each in turn."""

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        images, taken = fresh_images(setting).clone(), evenly(setting.count, strength)
        images[taken] = shots[torch.arange(int(taken.sum())) % len(shots)]
        return images


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The share `strength` of the images are fresh ones of the source domain."""

    def __call__(self, setting: Setting, shots: Tensor, strength: float) -> Tensor:
        images, taken = fresh_images(setting).clone(), evenly(setting.count, strength)
        more = range(setting.first, setting.first + int(taken.sum()))
        images[taken] = render(setting.source_domain, "fresh", more)[0]
        return images
