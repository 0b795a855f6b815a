"""The standard error of one run's number, from disjoint blocks of its samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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
