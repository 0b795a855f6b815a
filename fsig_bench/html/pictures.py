"""Pictures and sheets of samples for the report: the only module here that decodes images."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsig_bench.figures import atomically
from fsig_bench.html.names import short_digest, stage_folder

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

PICTURES = {
    "samples": "the shots, then the first samples in index order",
    "nearest": "each shot and the samples nearest to it",
    "tsne": "joint t-SNE of source, target, generated images and shots",
    "reconstruction": "the shots as the method rebuilds them",
}
THUMB, FULL = 560, 1800  # pixels, the longer side
SHEET, COLUMNS, TILE = 100, 10, 96  # images a sheet, across, largest side of a tile in pixels

Write = Callable[[str, bytes], None]


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

    def data(self) -> dict[str, Any]:
        """For the page's script."""
        return {"path": self.path, "count": self.count, "columns": self.columns, "tile": self.tile}


def _webp(image: Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()


def picture(path: Path, name: str, write: Write) -> Picture:
    """A figure as it is (or made smaller, if it is very large) and its thumbnail.

    Raises:
        ValueError: the file is no image; it is named.
    """
    from PIL import Image, UnidentifiedImageError

    data = path.read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path.name} of {path.parent.name} is no image: {error}") from error
    if max(image.size) > FULL:
        smaller = image.copy()
        smaller.thumbnail((FULL, FULL), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        smaller.save(out, "PNG")
        data = out.getvalue()
    at = f"pictures/{short_digest(data)}"
    write(f"{at}.png", data)
    image.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    write(f"{at}.webp", _webp(image, 80))
    width, height = image.size
    return Picture(
        name=name,
        what=PICTURES[name],
        full=f"{at}.png",
        thumb=f"{at}.webp",
        width=width,
        height=height,
    )


def sheet(images: Tensor, write: Write) -> Sheet:
    """uint8 [n, 3, h, w] as one file."""
    from PIL import Image

    from fsig_bench.figures.grid import to_pil

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


def first_samples(results: Path, record: Mapping[str, Any]) -> Tensor | None:
    """The first samples of a run, uint8 [n <= SHEET, 3, h, w]; None where the store has none.

    Raises:
        ValueError: a shard is damaged.
    """
    import torch

    from fsig_bench.store import Store

    if stage_folder(results, record, "sample") is None:
        return None
    store, key = Store(results), str(record["stages"]["sample"])
    size = int(record["config"]["suite"]["shard_size"])
    wanted = min(SHEET, int(record["num_images"]))
    parts = []
    for start in range(0, wanted, size):
        if not store.shard_path(key, start, start + size).exists():
            break
        parts.append(store.load_shard(key, start, start + size)[0])
    return torch.cat(parts)[:wanted] if parts else None


def writer(out: Path, written: set[str]) -> Write:
    """Writes below `out` and keeps the names; a file that holds these bytes already is left."""

    def write(name: str, data: bytes) -> None:
        if name in written:
            return
        written.add(name)
        path = out / name
        if path.exists() and path.read_bytes() == data:
            return
        atomically(path, lambda temporary: _put(temporary, data))

    return write


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def made(names: Sequence[str], folder: Path, write: Write) -> tuple[list[Picture], list[str]]:
    """The figures that a run left, and why others are missing."""
    found, wrong = [], []
    for name in names:
        path = folder / f"{name}.png"
        if not path.exists():
            continue
        try:
            found.append(picture(path, name, write))
        except ValueError as error:
            wrong.append(str(error))
    return found, wrong
