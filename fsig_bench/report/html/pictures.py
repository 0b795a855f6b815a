"""Pictures and sheets of samples for the report: the only module here that decodes images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.files import write_bytes
from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.report.html.links import short_digest

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

PICTURES = {
    "samples": "the shots, then the first samples in index order",
    "nearest": "each shot and the samples nearest to it",
    "tsne": "source, target, generated images and shots in joint coordinates of their features",
    "reconstruction": "the shots as the method rebuilds them",
}
THUMB, FULL = 560, 1800  # pixels, the longer side
SHEET_IMAGES, COLUMNS = 100, 10  # on a sheet, in all and across
TILE = 96  # pixels, the largest side of an image on a sheet


@dataclass(frozen=True)
class Writer:
    """Writes below a folder and keeps the names; a file that holds these bytes already is left."""

    out: Path
    written: set[str] = field(default_factory=set)

    def __call__(self, name: str, data: bytes) -> None:
        if name in self.written:
            return
        self.written.add(name)
        path = self.out / name
        if not path.exists() or path.read_bytes() != data:
            write_bytes(path, data)

    def keep(self, name: str) -> bool:
        """Whether a file named by its content is there; if so it stays."""
        if name not in self.written and not (self.out / name).exists():
            return False
        self.written.add(name)
        return True


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of a run; paths are below the report's folder."""

    name: str
    what: str
    full: str
    thumb: str
    width: int  # of the thumbnail
    height: int


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Images side by side in one file; image i stands in row i // columns."""

    path: str
    count: int
    columns: int
    tile: int  # pixels

    def as_json(self) -> JsonDict:
        """For the page's script."""
        return {"path": self.path, "count": self.count, "columns": self.columns, "tile": self.tile}


def _webp(image: Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()


def _png(image: Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _fitting(image: Image, side: int) -> Image:
    from PIL import Image as module

    copy = image.copy()
    copy.thumbnail((side, side), module.Resampling.LANCZOS)
    return copy


def copy_picture(path: Path, name: str, write: Writer) -> Picture:
    """A figure as it is (or made smaller, if it is very large) and its thumbnail.

    Raises:
        ValueError: the file is no image; it is named.
    """
    from fsig_bench.data.opening import open_image

    data = path.read_bytes()
    at = f"pictures/{short_digest(f'{THUMB} {FULL} '.encode() + data)}"
    full, thumb = f"{at}.png", f"{at}.webp"
    try:
        if not (write.keep(full) and write.keep(thumb)):
            with open_image(io.BytesIO(data)) as opened:
                image = opened.convert("RGB")
            write(full, data if max(image.size) <= FULL else _png(_fitting(image, FULL)))
            write(thumb, _webp(_fitting(image, THUMB), 80))
        with open_image(write.out / thumb) as opened:
            width, height = opened.size
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name} of {path.parent.name} is no image: {error}") from error
    return Picture(
        name=name, what=PICTURES[name], full=full, thumb=thumb, width=width, height=height
    )


def make_sheet(images: Tensor, write: Writer) -> Sheet:
    """uint8 [n, 3, h, w] as one file."""
    from PIL import Image

    from fsig_bench.pictures.grid import to_pil

    tile = min(TILE, max(images.shape[-2:]))
    count = len(images)
    columns = min(COLUMNS, count)
    page = Image.new("RGB", (columns * tile, -(-count // columns) * tile), "white")
    for i, image in enumerate(images):
        one = to_pil(image, 1)
        if one.size != (tile, tile):
            one = one.resize((tile, tile), Image.Resampling.LANCZOS)
        page.paste(one, (i % columns * tile, i // columns * tile))
    data = _webp(page, 85)
    path = f"sheets/{short_digest(data)}.webp"
    write(path, data)
    return Sheet(path=path, count=count, columns=columns, tile=tile)


def copy_strip(path: Path, write: Writer) -> Sheet:
    """A strip of samples as `strip_bytes` writes it.

    Raises:
        ValueError: the file is no such strip; it is named.
    """
    from fsig_bench.data.opening import open_image

    data = path.read_bytes()
    try:
        with open_image(io.BytesIO(data)) as opened:
            width, height = opened.size
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name} of {path.parent.name} is no image: {error}") from error
    if width % height:
        raise ValueError(f"{path.name} of {path.parent.name} is no row of square images")
    name = f"sheets/{short_digest(data)}.webp"
    write(name, data)
    return Sheet(path=name, count=width // height, columns=width // height, tile=height)


def first_samples(results: Path, record: Record) -> Tensor | None:
    """The first samples of a run, uint8 [n, 3, h, w], at most SHEET_IMAGES; None without any.

    Raises:
        ValueError: a shard is damaged.
    """
    from fsig_bench.report.samples import first_images
    from fsig_bench.store.store import Store

    try:
        return first_images(record, Store(results), SHEET_IMAGES)
    except FileNotFoundError:
        return None


def copy_pictures(
    names: Sequence[str], folder: Path, write: Writer
) -> tuple[list[Picture], list[str]]:
    """The figures that a run left, and why others are missing."""
    found, wrong = [], []
    for name in names:
        path = folder / f"{name}.png"
        if not path.exists():
            continue
        try:
            found.append(copy_picture(path, name, write))
        except ValueError as error:
            wrong.append(str(error))
    return found, wrong
