"""Counts the evaluations of networks while a method works, and ends the work at a limit."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)


class LimitReached(BaseException):
    """Ends a warm-up; no method catches it."""


class Evaluations:
    """Within its context: the evaluations of every network that no other network contains.

    One evaluation of a batch of n counts n times. From the second evaluation on, the next one that
    begins after `limit_s` seconds raises `LimitReached`. The one before it is complete then,
    forward and backward, so that the pace is known even where a single visit takes longer.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.began = self.first = self.last = time.perf_counter()
        self.images: dict[int, int] = defaultdict(int)  # by the network's identity
        self.forward_s: dict[int, float] = defaultdict(float)
        self._depth, self._entered = threading.local(), 0.0

    def __enter__(self) -> Self:
        self._hooks = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self.last = self._now()

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()

    def _before(self, network: nn.Module, args: tuple[object, ...]) -> None:
        depth = getattr(self._depth, "value", 0)
        if depth == 0:
            self.last = self._entered = self._now()
            if self.images and self.last - self.began > self.limit_s:
                raise LimitReached
            if not self.images:
                self.first = self.last
        self._depth.value = depth + 1

    def _after(self, network: nn.Module, args: tuple[object, ...], out: object) -> None:
        self._depth.value -= 1
        if self._depth.value == 0:
            batch = next((len(a) for a in args if isinstance(a, Tensor) and a.ndim), 1)
            self.images[id(network)] += batch
            self.forward_s[id(network)] += self._now() - self._entered

    @property
    def main(self) -> int | None:
        """The network that took the longest; None where there was none."""
        return max(self.forward_s, key=self.forward_s.__getitem__, default=None)

    @property
    def each_s(self) -> float | None:
        """Seconds per evaluation of the main network, with all that was done between them."""
        return None if self.main is None else (self.last - self.first) / self.images[self.main]

    @property
    def each_forward_s(self) -> float | None:
        """Seconds per evaluation of the main network, forward alone."""
        return None if self.main is None else self.forward_s[self.main] / self.images[self.main]
