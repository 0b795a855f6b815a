"""What stands in for the parts of upstream code that cannot run here: GPUs, and some packages.

Every repository has a process of its own, so that most of this is never undone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor


@cache
def on_cpu() -> None:
    """`.cuda()` and `.to("cuda")` change nothing from now on, and files are read to the CPU."""
    torch.load = partial(torch.load, map_location="cpu")

    def where(args: tuple[Any, ...]) -> tuple[Any, ...]:
        cuda = ("cuda", torch.device("cuda"))
        return tuple("cpu" if isinstance(a, (str, torch.device)) and a in cuda else a for a in args)

    for kind in (torch.Tensor, torch.nn.Module):
        moved = kind.to
        kind.cuda = lambda self, *args, **kwargs: self
        kind.to = lambda self, *a, moved=moved, **k: moved(self, *where(a), **k)


def without(*names: str) -> None:
    """These modules, and the packages around them, can be imported and do nothing."""
    for name in names:
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:n]), mock.MagicMock())


@contextmanager
def doubles() -> Iterator[None]:
    """What asks for float32 gets float64, on both sides.

    Rounding then is 1e-16 and not 1e-7, so that a difference of the arithmetic cannot hide in it.
    """
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


class Replay:
    """Called as upstream calls its random function, it returns our draws, one after the other."""

    def __init__(self, draws: Iterable[Any], expect: Callable[..., bool] | None = None) -> None:
        self.draws, self.count = iter(draws), 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        try:
            return next(self.draws)
        except StopIteration:
            raise AssertionError(f"upstream drew more than {self.count - 1} times") from None

    def check_used_up(self) -> None:
        """Raises AssertionError where upstream drew less often than we did."""
        left = sum(1 for _ in self.draws)
        assert not left, f"upstream drew {self.count} times, and {left} of our draws are left"


def enliven(net: torch.nn.Module, seed: int, size: float = 1.0) -> torch.nn.Module:
    """Random numbers for every weight: as they start, some layers are zero and say nothing.

    Weights get the spread that keeps a signal's size, vectors are moved a little.
    """
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            noise = torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
            if p.ndim > 1:
                p.copy_(size * noise / max(p[0].numel(), 1) ** 0.5)
            else:
                p.add_(0.1 * noise)
    return net.eval()


def pictures(count: int, side: int, seed: int) -> Tensor:
    """Smooth random images with some noise, uint8 [n, 3, side, side]."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=g, dtype=torch.float32)
    smooth = torch.nn.functional.interpolate(
        coarse, (side, side), mode="bilinear", align_corners=True
    )
    noise = torch.rand(count, 3, side, side, generator=g, dtype=torch.float32)
    return (255 * (0.8 * smooth + 0.2 * noise)).round().to(torch.uint8)
