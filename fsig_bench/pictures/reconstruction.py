"""The panel of CRDI's figure 1: the shots, and the shots as the method rebuilds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from fsig_bench.api.files import write_whole
from fsig_bench.pictures.colours import INK
from fsig_bench.pictures.grid import GAP, LINE, MARGIN, text, to_pil

LABELS = 96  # width of the label column, pixels
CAPTION = 20  # height under each picture


def reconstruction_panel(
    path: Path,
    *,
    originals: Tensor,
    rebuilt: Mapping[str, Tensor],
    errors: Mapping[str, Sequence[tuple[float, float]]],
    most: int = 10,
) -> None:
    """A column per shot: original, then one row per setting with PSNR (dB) under each picture.

    Images uint8 [n, 3, h, w]; errors (PSNR in dB, LPIPS) per shot.
    """
    side = originals.shape[-1]
    scale = max(1, round(120 / side))
    step = side * scale + GAP
    n = min(most, len(originals))
    rows: list[tuple[str, Tensor, Sequence[tuple[float, float]] | None]] = [
        ("original", originals[:n], None)
    ]
    rows += [(label, images[:n], errors[label]) for label, images in rebuilt.items()]
    width = 2 * MARGIN + LABELS + n * step - GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + LINE + len(rows) * (step + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    text(draw, (MARGIN, MARGIN - 6), "Shots rebuilt from their embeddings, PSNR in dB", 18)
    for r, (label, images, values) in enumerate(rows):
        y = MARGIN + LINE + 4 + r * (step + CAPTION)
        text(draw, (MARGIN, y + step / 2), label, 15, anchor="lm")
        for j, image in enumerate(images):
            x = MARGIN + LABELS + j * step
            sheet.paste(to_pil(image, scale), (x, y))
            if values is not None:
                where = (x + side * scale / 2, y + side * scale + 3)
                text(draw, where, f"{values[j][0]:.1f}", 12, anchor="ma", fill=INK)
    write_whole(path, lambda p: sheet.save(p, "PNG"))
