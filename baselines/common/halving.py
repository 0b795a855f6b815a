"""What to do where a device's memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_halves(compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """compute(x), row by row the same; by halves of x where it does not fit at once."""
    try:
        return compute(x)
    except torch.OutOfMemoryError:
        if len(x) == 1:
            raise
    if torch.cuda.is_available():  # outside the handler, whose traceback keeps tensors alive
        torch.cuda.empty_cache()
    half = len(x) // 2
    return torch.cat([in_halves(compute, part) for part in (x[:half], x[half:])])
