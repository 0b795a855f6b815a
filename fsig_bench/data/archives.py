"""Reads the images of a folder, zip or tar, whatever its members are called and claim to be.

Nothing is written here, and nothing is unpacked that no image is.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from fsig_bench.api.formats import LARGEST_GIB
from fsig_bench.data.reading import SUFFIXES

LARGEST_MIB = 64  # of one image file; a larger member is no photograph
MOST_MEMBERS = 500_000


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))  # as archives made on Windows may have it


def _wanted(name: str, inside: str | None) -> bool:
    path = _path(name)
    named = [p for p in path.parts if p not in (".", "..")]  # only the last part is ever used
    hidden = any(p.startswith((".", "__MACOSX")) for p in named)
    there = inside is None or inside in named[:-1]
    return path.suffix.lower() in SUFFIXES and not hidden and there


def is_archive(path: Path) -> bool:
    """Whether a file can be opened as zip or tar; it may still be damaged further on."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def members(source: Path, inside: str | None = None) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of every image in a folder or archive, folders inside flattened.

    Of an archive that holds several sets, those below a folder called `inside`.

    Raises:
        ValueError: neither a folder nor an archive, one that is damaged or locked, or too large.
    """
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            if _wanted(path.relative_to(source).as_posix(), None):
                yield path.name, path.read_bytes()
        return
    if not is_archive(source):
        what = "is no folder, zip or tar" if source.exists() else "does not exist"
        raise ValueError(f"{source} {what}; give a folder, zip or tar that holds the images")
    try:
        unpack = _zipped if zipfile.is_zipfile(source) else _tarred
        yield from unpack(source, inside)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{source} is damaged or incomplete: {error}; get it again") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile's words for these
        raise ValueError(f"{source} is locked or packed in an unknown way: {error}") from error


def _zipped(source: Path, inside: str | None) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        _check_total(((e.filename, e.file_size) for e in entries), source)
        for entry in sorted(entries, key=lambda e: e.filename):
            if not entry.is_dir() and _wanted(entry.filename, inside):
                _check_size(entry.filename, entry.file_size, source)
                yield _path(entry.filename).name, archive.read(entry)


def _tarred(source: Path, inside: str | None) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(source) as archive:
        # A packed tar is unpacked to find the next member: the check ends that in time.
        _check_total(((m.name, m.size) for m in archive), source)
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if member.isfile() and _wanted(member.name, inside):  # links are not followed
                _check_size(member.name, member.size, source)
                file = archive.extractfile(member)
                assert file is not None
                yield _path(member.name).name, file.read()


def _check_size(name: str, size: int, source: Path) -> None:
    if size > LARGEST_MIB << 20:
        raise ValueError(f"{name} in {source} is over {LARGEST_MIB} MiB")


def _check_total(sizes: Iterable[tuple[str, int]], source: Path) -> None:
    """Adds up what an archive says of its members, and stops at the limit."""
    total = 0
    for count, (name, size) in enumerate(sizes, 1):
        total += size
        if total > LARGEST_GIB << 30 or count > MOST_MEMBERS:
            raise ValueError(
                f"{source} unpacks to more than {LARGEST_GIB} GiB or {MOST_MEMBERS} files: "
                f"{total / 2**30:.1f} GiB in {count} files up to {name}. If that is meant, "
                "unpack it yourself and give the folder"
            )
