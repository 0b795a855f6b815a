"""What RS-IMLE's loss compares images with: the shots, and their features.

Shape legend: n shots, r their side, e rows of the perceptual network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fsig_bench.api import Perceptual


@dataclass(frozen=True)
class Goals:
    """The shots, or some of them."""

    images: Tensor  # [n, 3, r, r]
    rows: Tensor | None  # [n, e], where they are kept

    @classmethod
    @torch.no_grad()
    def of(cls, images: Tensor, perceptual: Perceptual, *, keep: bool, batch: int) -> Goals:
        """Goals for all shots.

        Args:
            images: the shots.
            perceptual: gives the rows.
            keep: whether to compute the rows once, here; VGG's take 32 MB a shot at 256 px.
            batch: shots at once: a pass without shuffling then finds the very bytes that it would
                compute itself.
        """
        if not keep:
            return cls(images, None)
        rows = None
        for start in range(0, len(images), batch):
            part = perceptual.perceive(images[start : start + batch])
            if rows is None:
                rows = part.new_empty(len(images), part.shape[1])
            rows[start : start + batch] = part
        return cls(images, rows)

    def at(self, picks: Tensor) -> Goals:
        """Those at some indices."""
        return Goals(self.images[picks], None if self.rows is None else self.rows[picks])
