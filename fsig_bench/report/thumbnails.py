"""`fsig-bench report FOLDER only=thumbnails`: a strip of samples beside each record, as WebP.

A folder of records then has pictures without its store, so that it can be committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fsig_bench.api.files import write_bytes
from fsig_bench.pictures.strip import NAME, STRIP, strip_bytes
from fsig_bench.report.records import record_files
from fsig_bench.report.samples import first_images
from fsig_bench.store.records import read_record
from fsig_bench.store.store import Store

TILE, QUALITY = 48, 60  # pixels of a sample; of WebP: about 5 KiB a strip


def write_thumbnails(folders: Sequence[Path], results: Path) -> tuple[list[Path], list[str]]:
    """Writes a strip beside each record whose samples are in the store.

    Args:
        folders: where records lie.
        results: the folder with `store/`.

    Returns:
        The strips, and a sentence for each record that has none.
    """
    store, made, lacking = Store(results), list[Path](), list[str]()
    for path in (file for folder in folders for file in record_files(folder)):
        place = path.with_name(NAME)
        try:
            images = first_images(read_record(path), store, STRIP)
        except (ValueError, OSError) as error:
            if not (isinstance(error, FileNotFoundError) and place.exists()):
                lacking.append(f"{path}: {error}")
            continue
        data = strip_bytes(images, tile=TILE, quality=QUALITY)
        if not place.exists() or place.read_bytes() != data:
            write_bytes(place, data)
        made.append(place)
    return made, lacking


def thumbnail_places(folders: Iterable[Path]) -> dict[str, Path]:
    """Run id -> the strip beside its record; a run's folder ends with its id."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob(NAME)) if folder.is_dir() else ():
            if path.with_name("record.json").is_file():
                found[path.parent.name.rpartition("-")[2]] = path
    return found
