"""How far images are from a drawing of what was read off them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

REDRAWN = 64  # batches of images that are drawn again at a time


def redraw_gaps(
    images: Tensor,
    factors: Tensor,
    *,
    redraw: Callable[[Tensor], Tensor],
    perceive: Callable[[Tensor], Tensor],
    batch_size: int,
) -> Tensor:
    """Distances of each image to the drawing of its factors, float32 [n, 2].

    The first is the root mean square difference of the pixels, in grey levels from 0 to 255, the
    second LPIPS. Drawings are made and dropped block by block.

    Args:
        images: uint8 [n, 3, h, w].
        factors: read off them [n, f].
        redraw: factors -> uint8 images.
        perceive: uint8 images -> rows whose squared distances are LPIPS.
        batch_size: images that `perceive` sees at a time.
    """
    # A multiple of the batch and of what a painter draws at once: no edge moves by it.
    size, gaps = batch_size * REDRAWN, torch.empty(len(factors), 2)
    for pixels, own, place in zip(*(x.split(size) for x in (images, factors, gaps)), strict=True):
        parts = (x.split(batch_size) for x in (pixels, redraw(own), place))
        for a, b, out in zip(*parts, strict=True):
            out[:, 0] = (a.float() - b.float()).square().flatten(1).mean(1).sqrt()
            out[:, 1] = (perceive(a) - perceive(b)).square().sum(1)
    return gaps
