"""Work through the rows of large sets block by block; the standard error from blocks of samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 1024  # rows of the distance matrix in memory at a time, at most
MOST = 1 << 24  # numbers of the distance matrix in memory at a time


def block_of(columns: int) -> int:
    """How many rows of a distance matrix are computed at a time."""
    return max(1, min(BLOCK, MOST // columns))


def radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row of x [n, d] to its k-th nearest other row, [n]."""
    parts = [
        torch.cdist(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(block_of(len(x)))
    ]
    return torch.cat(parts)


def block_error(
    value: Callable[[Tensor], float], fake: Tensor, blocks: int
) -> dict[str, float | int] | None:
    """How far a number of n samples may move: from equal, disjoint blocks of the samples [n, d].

    The standard error of the whole, taken as the blocks' deviation over the root of their number.
    Without replacement: repeated rows would lower the rank and raise Frechet distances. The blocks'
    own level is biased by their size and is not given. None where blocks would be too small.
    """
    size = len(fake) // blocks
    if blocks < 2 or size < 10:
        return None
    values = torch.tensor([value(part) for part in fake[: size * blocks].split(size)])
    return {"blocks": blocks, "size": size, "standard_error": float(values.std()) / blocks**0.5}
