"""A few samples side by side in one small file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STRIP = 8  # samples in a strip
NAME = "samples.webp"  # beside a record


def strip_bytes(images: Tensor, *, tile: int, quality: int = 80) -> bytes:
    """The first STRIP images side by side as a WebP file.

    Args:
        images: uint8 [n, 3, h, w], at least one.
        tile: the largest side of an image, in pixels.
        quality: of WebP, 1 to 100.
    """
    from PIL import Image

    few = [Image.fromarray(i.permute(1, 2, 0).contiguous().numpy()) for i in images[:STRIP]]
    side = min(tile, few[0].width)
    sheet = Image.new("RGB", (side * len(few), side))
    for n, image in enumerate(few):
        sheet.paste(image.resize((side, side), Image.Resampling.LANCZOS), (n * side, 0))
    out = io.BytesIO()
    sheet.save(out, "WEBP", quality=quality, method=6)
    return out.getvalue()
