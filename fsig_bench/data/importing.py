"""From a folder or an archive of somebody's images to a checked folder with a manifest.

Nothing outside the target folder is ever written, whatever an archive's members are called.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fsig_bench.api.digests import sha256_of
from fsig_bench.api.files import share_as_folder
from fsig_bench.api.owners import exclusive, left_behind, own_path
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.data.archives import members
from fsig_bench.data.opening import open_image
from fsig_bench.data.reading import SUFFIXES, Seen, as_rgb, list_images, look_at

ROLES = ("shots", "reference")
# Resized to 100 px and saved as JPEG of quality 50, photographs move by 2 bits and 2.8 of 255 at
# most; two different ones of the usual ten-shot sets lie 7 bits and 20 apart at least.
HASH_BITS, COLOUR_GAP = 4, 8


def import_images(
    source: Path,
    target: Path,
    *,
    only: Sequence[str] | None = None,
    inside: str | None = None,
    check: Callable[[Sequence[Seen]], None] = lambda seen: None,
    waiting: Callable[[Path], None] = lambda lock: None,
) -> tuple[list[Path], list[Seen]]:
    """Copies images, bytes unchanged, into `target`, which appears whole or not at all.

    `only` names the files that are wanted, `inside` the folder of an archive that they are below; a
    folder is taken as it is. A name that occurs twice with other content is refused. What `check`
    refuses leaves an earlier `target` as it was. `waiting` is called with a lock's path while
    another process imports to `target`; what imports left that were killed is removed. Returns the
    files, and what each is.

    Raises:
        ValueError: see `members`; names that clash or are missing; files that cannot be decoded.
    """
    remove_leftovers(target, waiting=waiting)
    with exclusive(target, waiting=waiting):
        return _imported(source, target, only=only, inside=inside, check=check)


def remove_leftovers(target: Path, *, waiting: Callable[[Path], None] = lambda lock: None) -> None:
    """Removes what imports to `target` left that were killed."""
    if not any(left_behind(target, "tmp")):
        return
    with exclusive(target, waiting=waiting):
        for old in left_behind(target, "tmp"):
            shutil.rmtree(old, ignore_errors=True)


def _imported(
    source: Path,
    target: Path,
    *,
    only: Sequence[str] | None,
    inside: str | None,
    check: Callable[[Sequence[Seen]], None],
) -> tuple[list[Path], list[Seen]]:
    temporary = own_path(target, "tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    share_as_folder(temporary)
    try:
        for name, content in members(source, inside):
            if only is not None and name not in only:
                continue
            place = temporary / name
            if place.exists() and place.read_bytes() != content:
                raise ValueError(f"{source} holds two different images called {name}; rename one")
            place.write_bytes(content)
        found = {p.name for p in temporary.iterdir()}
        if inside and not found:
            raise ValueError(f"{source} holds no images in a folder {inside}; give that folder")
        if absent := sorted(set(only or ()) - found):
            raise ValueError(f"{source} lacks {absent}; it may be another edition of the set")
        if not found:
            raise ValueError(f"{source} holds no images ({' '.join(sorted(SUFFIXES))})")
        try:
            seen = look_at(list_images(temporary))
        except ValueError as error:  # named as the user knows the files
            raise ValueError(str(error).replace(f"{temporary}{os.sep}", "")) from error
        check(seen)
        shutil.rmtree(target, ignore_errors=True)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return list_images(target), seen


def fingerprint(path: Path) -> tuple[int, npt.NDArray[np.int16]]:
    """A 64-bit difference hash (neighbours of a 9 x 8 grey thumbnail), and 16 x 16 colours."""
    with open_image(path) as image:
        picture = as_rgb(image)
    grey = picture.convert("L").resize((9, 8), Image.Resampling.LANCZOS)
    pixels = np.asarray(grey, dtype=np.int16)
    bits = (pixels[:, 1:] > pixels[:, :-1]).flatten()
    colours = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), dtype=np.int16)
    return int("".join("1" if b else "0" for b in bits), 2), colours


def near_duplicates(shots: Sequence[Path], reference: Sequence[Path]) -> dict[str, list[str]]:
    """Shot -> names of reference images that show the same picture at another size or quality.

    The hash alone would confuse a few of thousands of aligned faces, so the colours decide.
    """
    known = {path: fingerprint(path) for path in reference}
    out: dict[str, list[str]] = defaultdict(list)
    for shot in shots:
        own, colours = fingerprint(shot)
        for path, (bits, others) in known.items():
            if (own ^ bits).bit_count() <= HASH_BITS and (
                np.abs(colours - others).mean() <= COLOUR_GAP
            ):
                out[shot.name].append(path.name)
    return dict(out)


def manifest_of(folder: Path, facts: Json) -> JsonDict:
    """What manifest.json of a prepared set says: `facts`, and the sha256 of every file by role."""
    files = {
        role: {p.name: sha256_of(p) for p in list_images(folder / role)}
        for role in ROLES
        if (folder / role).is_dir()
    }
    counts = {role: len(names) for role, names in files.items()}
    return {**facts, "images": counts, "sha256": files}


def differing(folder: Path, manifest: Json, digest: Callable[[Path], str] = sha256_of) -> list[str]:
    """What a prepared set no longer has as its manifest says: "shots/a.png is missing"."""
    out = []
    for role, names in manifest["sha256"].items():
        there = {p.name: p for p in list_images(folder / role)} if (folder / role).is_dir() else {}
        for name in sorted({*names, *there}):
            if name not in there:
                out.append(f"{role}/{name} is missing")
            elif name not in names:
                out.append(f"{role}/{name} is not in the manifest")
            elif digest(there[name]) != names[name]:
                out.append(f"{role}/{name} has other bytes")
    return out
