"""Grids of images: a method's samples under its shots, and rows of images with labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fsig_bench.api.files import write_whole
from fsig_bench.pictures.colours import INK

GAP, MARGIN, LINE = 4, 20, 26  # pixels
WIDTH = 1320  # about what a page or a README shows


def text(
    draw: ImageDraw.ImageDraw,
    xy: tuple[float, float],
    words: str,
    size: int,
    *,
    fill: str = INK,
    anchor: str | None = None,
) -> None:
    """Writes words in PIL's own sans face."""
    draw.text(xy, words, fill=fill, font=ImageFont.load_default(size), anchor=anchor)


def to_pil(image: Tensor, scale: int) -> Image.Image:
    """uint8 [3, h, w] -> a picture enlarged by a whole factor, pixels kept crisp."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def fitting_scale(side: int, columns: int) -> int:
    """The whole factor that brings a row of `columns` images near WIDTH."""
    return max(1, round((WIDTH / columns - GAP) / side))


def _rows(images: Tensor, columns: int) -> list[Tensor]:
    return list(images.split(columns))


def sample_grid(
    path: Path,
    *,
    shots: Tensor,
    samples: Tensor,
    title: str,
    columns: int = 10,
    scale: int | None = None,
) -> None:
    """The shots on top, set apart, then samples; both uint8 [n, 3, h, w]."""
    side = samples.shape[-1]
    factor = scale or fitting_scale(side, columns)
    step = side * factor + GAP
    shown, drawn = _rows(shots[: 2 * columns], columns), _rows(samples, columns)
    width = 2 * MARGIN + columns * step - GAP
    height = 2 * MARGIN + 3 * LINE + 14 + (len(shown) + len(drawn)) * step
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    text(draw, (MARGIN, MARGIN - 4), title, 20)
    y = MARGIN + LINE
    for label, rows in ((f"the {len(shots)} shots", shown), (f"{len(samples)} samples", drawn)):
        text(draw, (MARGIN, y + 6), label, 14, fill="#555555")
        y += LINE
        for row in rows:
            for j, image in enumerate(row):
                sheet.paste(to_pil(image, factor), (MARGIN + j * step, y))
            y += step
        y += 10
    write_whole(path, lambda p: sheet.save(p, "PNG"))


def labelled_rows(
    path: Path, rows: Sequence[tuple[str, Tensor]], *, title: str, scale: int = 2, labels: int = 120
) -> None:
    """One row per (label, uint8 [n, 3, h, w]).

    Labels stand in a left column of at least `labels` pixels, as wide as the longest one needs.
    """
    face = ImageFont.load_default(16)
    labels = max([labels, *(round(face.getlength(label)) + 4 * GAP for label, _ in rows)])
    side = rows[0][1].shape[-1]
    step = side * scale + GAP
    most = max(len(images) for _, images in rows)
    width = 2 * MARGIN + labels + most * step - GAP
    head = LINE + 12 if title else 0
    sheet = Image.new("RGB", (width, 2 * MARGIN + head + len(rows) * step - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    if title:
        text(draw, (MARGIN, MARGIN - 4), title, 20)
    for r, (label, images) in enumerate(rows):
        y = MARGIN + head + r * step
        text(draw, (MARGIN, y + step / 2), label, 16, anchor="lm")
        for j, image in enumerate(images):
            sheet.paste(to_pil(image, scale), (MARGIN + labels + j * step, y))
    write_whole(path, lambda p: sheet.save(p, "PNG"))
