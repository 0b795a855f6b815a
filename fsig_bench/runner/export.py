"""A finished run's samples as files that anything else can read."""

from __future__ import annotations

from fsig_bench.api.files import make_folder, share_as_folder
from fsig_bench.console import console
from fsig_bench.runner.cell import Cell
from fsig_bench.store.shards import stored_parts
from fsig_bench.store.store import Store


def export_png(cell: Cell, store: Store) -> None:
    """Every sample of a finished run as png/000000.png and so on, beside its record."""
    from PIL import Image

    folder = store.root / cell.folder / "png"
    make_folder(folder)
    count = cell.samples.num_images
    parts = stored_parts(store, cell.sample_key, count=count, size=cell.suite.shard_size)
    for (start, _), images, _ in parts:
        for n, image in enumerate(images, start=start):
            path = folder / f"{n:06d}.png"
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
            share_as_folder(path)
    console.print(f"{count} PNG files in {folder}")
