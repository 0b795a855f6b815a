"""From a folder or an archive of somebody's images to a checked folder with a manifest.

Nothing outside the target folder is ever written, whatever an archive's members are called.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from fsig_bench.data.reading import SUFFIXES, as_rgb, list_images

LARGEST_MIB = 64  # of one image file; a larger member is no photograph


def _wanted(name: str, inside: str | None = None) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    named = [p for p in path.parts if p not in (".", "..")]  # only the last part is ever used
    hidden = any(p.startswith((".", "__MACOSX")) for p in named)
    there = inside is None or inside in named[:-1]
    return path.suffix.lower() in SUFFIXES and not hidden and there


def members(source: Path, inside: str | None = None) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of every image in a folder or archive, folders inside flattened.

    Of an archive that holds several sets, those below a folder called `inside`.

    Raises:
        ValueError: neither a folder nor an archive, a damaged archive, or a member too large.
    """
    limit = LARGEST_MIB << 20
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            if _wanted(path.relative_to(source).as_posix()):
                yield path.name, path.read_bytes()
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for entry in sorted(archive.infolist(), key=lambda e: e.filename):
                if not entry.is_dir() and _wanted(entry.filename, inside):
                    if entry.file_size > limit:
                        raise ValueError(f"{entry.filename} in {source} is over {LARGEST_MIB} MiB")
                    try:
                        yield PurePosixPath(entry.filename).name, archive.read(entry)
                    except zipfile.BadZipFile as error:
                        raise ValueError(f"{source} is damaged: {error}") from error
    elif tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            for member in sorted(archive.getmembers(), key=lambda m: m.name):
                if member.isfile() and _wanted(member.name, inside):  # links are not followed
                    if member.size > limit:
                        raise ValueError(f"{member.name} in {source} is over {LARGEST_MIB} MiB")
                    file = archive.extractfile(member)
                    assert file is not None
                    yield PurePosixPath(member.name).name, file.read()
    else:
        raise ValueError(f"{source} is no folder, zip or tar; give one that holds the images")


def import_images(
    source: Path, target: Path, *, only: Sequence[str] | None = None, inside: str | None = None
) -> list[Path]:
    """Copies images, bytes unchanged, into `target`, which appears whole or not at all.

    `only` names the files that are wanted, `inside` the folder of an archive that they are below; a
    folder is taken as it is. A name that occurs twice with other content is refused.

    Raises:
        ValueError: see `members`; names that clash or are missing; files that cannot be decoded.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
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
        files = list_images(temporary)
        _check_decodes(files)
        shutil.rmtree(target, ignore_errors=True)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return list_images(target)


def _check_decodes(files: Sequence[Path]) -> None:
    bad = []
    for path in files:
        try:
            with Image.open(path) as image:
                image.load()
        except Exception as error:  # decoders raise anything on damaged bytes
            bad.append(f"  {path.name}: {error}")
    if bad:
        raise ValueError(f"{len(bad)} of {len(files)} images cannot be read:\n" + "\n".join(bad))


def fingerprint_bits(path: Path) -> int:
    """A 64-bit difference hash: neighbouring columns of an 9 x 8 grey thumbnail compared."""
    with Image.open(path) as image:
        grey = as_rgb(image).convert("L").resize((9, 8), Image.Resampling.LANCZOS)
    pixels = np.asarray(grey, dtype=np.int16)
    bits = (pixels[:, 1:] > pixels[:, :-1]).flatten()
    return int("".join("1" if b else "0" for b in bits), 2)


def near_duplicates(
    shots: Sequence[Path], reference: Sequence[Path], *, bits: int = 4
) -> dict[str, list[str]]:
    """Shot -> names of reference images whose difference hash is within `bits` of its own."""
    hashes = {path: fingerprint_bits(path) for path in reference}
    out: dict[str, list[str]] = defaultdict(list)
    for shot in shots:
        own = fingerprint_bits(shot)
        for path, other in hashes.items():
            if (own ^ other).bit_count() <= bits:
                out[shot.name].append(path.name)
    return dict(out)


def write_manifest(folder: Path, facts: dict[str, object]) -> None:
    """manifest.json of a prepared set: `facts`, and the sha256 of every file by role."""
    files = {
        role: {
            p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in list_images(folder / role)
        }
        for role in ("shots", "reference")
        if (folder / role).is_dir()
    }
    counts = {role: len(names) for role, names in files.items()}
    text = json.dumps({**facts, "images": counts, "sha256": files}, indent=2)
    temporary = folder / f".manifest.{os.getpid()}.tmp"
    temporary.write_text(text + "\n")
    temporary.replace(folder / "manifest.json")
