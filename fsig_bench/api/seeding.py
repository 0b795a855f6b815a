"""Random generators derived by purpose: no global state, and no draw moves another.

`derive(seed, "sample", i)` hashes its words, so adding a purpose or a method changes nobody's
numbers (the idea is benchopt's `get_seed`), and image i draws from (seed, i) only (EDM's
`StackedRandomGenerator`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed from the run's seed and the words that name the purpose."""
    words = "\x1f".join([str(int(seed)), *(f"{type(p).__name__}:{p}" for p in purpose)])
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose; draw on the CPU and move, so devices agree."""
    return torch.Generator().manual_seed(derive(seed, *purpose))


class ImageGenerators:
    """One generator per image: row j of every draw comes from (seed, purpose, indices[j])."""

    def __init__(self, seed: int, indices: Sequence[int], *purpose: str | int) -> None:
        self.indices = list(indices)
        self._generators = [generator(seed, *purpose, int(i)) for i in self.indices]

    def randn(self, *shape: int) -> Tensor:
        """float32 [n, *shape] ~ N(0, 1)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self._generators])

    def rand(self, *shape: int) -> Tensor:
        """float32 [n, *shape] ~ U(0, 1)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self._generators])

    def randint(self, high: int) -> Tensor:
        """int64 [n] uniform on 0..high-1."""
        return torch.cat([torch.randint(high, (1,), generator=g) for g in self._generators])
