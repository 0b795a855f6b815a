"""Feature networks behind one small interface: uint8 images in, float32 features out.

Shape legend: n images, d features, c channels, f factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from fsig_bench.api.stopping import stop_if_asked


class Named(Protocol):
    """A network that results name."""

    @property
    def name(self) -> str: ...


class Extractor(Protocol):
    """A network whose features a metric compares."""

    name: str

    @property
    def digest(self) -> str:
        """sha256 of the weights."""
        ...

    def features(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, h, w] -> float32 [n, d]."""
        ...


@runtime_checkable
class FactorReading(Protocol):
    """An extractor whose features tell an image's factors and domain."""

    factor_names: tuple[str, ...]
    domain_names: tuple[str, ...]

    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [n, d] of images -> their factors [n, f], domain logits [n, domains]."""
        ...

    def visible(self, factors: Tensor, domain: int) -> Tensor:
        """Bool [n, f]: which factors of images of one domain can be seen at all."""
        ...

    def redraw(self, factors: Tensor, domain: int) -> Tensor:
        """Images of one domain with these factors, uint8 [n, 3, h, w]."""
        ...


def embed(maps: list[Tensor], weights: Sequence[Tensor] | None = None) -> Tensor:
    """Z [n, sum_l c_l h_l w_l] of trunk maps: squared distances between rows are LPIPS.

    z = concat_l sqrt(w_l / (H_l W_l)) unit(f_l) (Zhang et al., CVPR 2018, arXiv:1801.03924, Eq. 1),
    with channel weights w_l [c_l] >= 0; without, w_l = 1 / layers.
    """
    parts = []
    for n, f in enumerate(maps):
        # lpips' normaliser; the inner term keeps the gradient finite at a zero vector
        unit = f / ((f.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10)
        places = f.shape[2] * f.shape[3]
        if weights is None:
            unit = unit * math.sqrt(1 / (len(maps) * places))
        else:
            unit = unit * (weights[n] / places).sqrt()[:, None, None]
        parts.append(unit.flatten(1))
    return torch.cat(parts, 1)


@runtime_checkable
class LazyImages(Protocol):
    """Images that are read when they are looked at, each at its own size."""

    def __len__(self) -> int: ...

    @property
    def digest(self) -> str:
        """Of their content."""
        ...

    def batches(self, size: int) -> Iterator[Tensor]:
        """uint8 [n <= size, 3, h, w], in order; a batch holds images of one size."""
        ...


def batches(images: Tensor | LazyImages, size: int) -> Iterator[Tensor]:
    """uint8 [n <= size, 3, h, w], in order."""
    return iter(images.split(size)) if isinstance(images, Tensor) else images.batches(size)


def in_batches(
    fn: Callable[[Tensor], Tensor], images: Tensor | LazyImages, batch_size: int
) -> Tensor:
    """`fn` over batches of images, joined along the first axis.

    Each result is copied into its place at once: a thousand small tensors that stay between large
    ones that go would keep the memory of these from being used again.
    """
    whole, done = torch.empty(0), 0
    for part in batches(images, batch_size):
        stop_if_asked()
        found = fn(part)
        if done == 0:
            whole = found.new_empty((len(images), *found.shape[1:]))
        whole[done : done + len(part)] = found
        done += len(part)
    return whole
