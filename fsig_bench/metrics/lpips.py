"""LPIPS distances between rows of `perceive`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor


def squared_distances(a: Tensor, b: Tensor, *, block: int = 1 << 16) -> Tensor:
    """All squared distances between rows, float64 [n, m] on the CPU; centred, for accuracy.

    Works through `block` columns at a time: at 256 px a VGG row has 8 million of them.
    """
    total = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    for p, q in zip(a.split(block, 1), b.split(block, 1), strict=True):
        centre = q.mean(0)
        y = (q - centre).double()
        x = y if a is b else (p - centre).double()
        total += x.square().sum(1)[:, None] + y.square().sum(1)[None, :] - 2 * x @ y.T
    return total.clamp(min=0).cpu()


def paired_distances(*, real: Tensor, fake: Tensor) -> Tensor:
    """LPIPS between row i of one z [n, e] and row i of the other, float32 [n]."""
    return (real - fake).square().sum(1)


def mean_pairwise(z: Tensor) -> float:
    """Mean over all pairs of rows of z [n >= 2, e]."""
    n = len(z)
    return float(squared_distances(z, z).triu(1).sum() / (n * (n - 1) / 2))


def mean_pairwise_of_parts(parts: Iterable[Tensor], *, block: int = 1 << 16) -> float:
    """As `mean_pairwise`, of rows that come in parts [n_i, e], of which one is held at a time.

    The sum over pairs of |x - y|^2 is n sum |x|^2 - |sum x|^2. Rows are taken from the mean of the
    first part, so that little cancels.
    """
    n, squares, first = 0, 0.0, True
    for z in parts:
        if first:
            centre, total, first = z.mean(0), z.new_zeros(z.shape[1], dtype=torch.float64), False
        for start in range(0, z.shape[1], block):
            columns = slice(start, start + block)
            x = (z[:, columns] - centre[columns]).double()
            total[columns] += x.sum(0)
            squares += float(x.square().sum())
        n += len(z)
    return 2 * (n * squares - float(total.square().sum())) / (n * (n - 1))


def shuffled(images: Tensor, seed: int) -> Tensor:
    """A random order of uint8 images that follows their pixels and the seed, not their places.

    Each image is placed by a digest of the seed and its pixels. Of equal images the first is placed
    so, and the j-th by a digest that also holds j: they lie at independent places, so that a part
    of the order holds them in about the proportion in which the whole does. Which images lie where
    does not depend on the order in which they come: that only decides which of two equal images has
    which of their places.
    """
    keys, met = [], Counter[bytes]()
    for image in images:
        pixels = str(seed).encode() + image.numpy().tobytes()
        key = hashlib.sha256(pixels).digest()
        repeated, met[key] = met[key], met[key] + 1
        keys.append(hashlib.sha256(key + str(repeated).encode()).digest() if repeated else key)
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__), dtype=torch.long)
