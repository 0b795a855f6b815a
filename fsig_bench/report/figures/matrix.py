"""Methods down, target domains across, the shots on top: first samples of stored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from torch import Tensor

from fsig_bench.api.files import write_whole
from fsig_bench.pictures.grid import text, to_pil

EACH = 4  # images in a cell
GAP, BLOCK, MARGIN = 3, 14, 12  # pixels: between images, between targets, around
WIDE = 2000  # pixels, about a page's width at 300 dots an inch


def sample_matrix(
    path: Path, cells: Mapping[tuple[str, str], Tensor], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Writes the sheet.

    Args:
        path: the PNG.
        cells: (row, column) -> uint8 [n, 3, h, w]; the first EACH are shown, a dash where none is.
        rows: labels of the rows, the shots' first.
        columns: names of the target domains.
    """
    side = next(iter(cells.values())).shape[-1]
    scale = max(1, WIDE // (len(columns) * EACH * (side + GAP)))
    step, size = side * scale + GAP, max(13, side * scale // 4)
    labels = int(size * 0.62 * max(map(len, rows))) + MARGIN
    block = EACH * step - GAP + BLOCK
    head = size + 2 * MARGIN
    width = labels + MARGIN + len(columns) * block - BLOCK + MARGIN
    height = head + len(rows) * step + BLOCK + MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)

    def left(c: int) -> int:
        return labels + MARGIN + c * block

    for c, name in enumerate(columns):
        text(draw, (left(c) + (block - BLOCK) / 2, MARGIN), name, size, anchor="ma")
    for r, row in enumerate(rows):
        y = head + r * step + (BLOCK if r else 0)  # the shots are set apart
        text(draw, (labels, y + side * scale / 2), row, size, anchor="rm")
        for c, column in enumerate(columns):
            images: Any = cells.get((row, column), ())
            for j, image in enumerate(images[:EACH]):
                sheet.paste(to_pil(image, scale), (left(c) + j * step, y))
            if len(images) == 0:
                middle = (left(c) + (block - BLOCK) / 2, y + side * scale / 2)
                text(draw, middle, "-", size, anchor="mm", fill="#999999")
    write_whole(path, lambda p: sheet.save(p, "PNG"))
