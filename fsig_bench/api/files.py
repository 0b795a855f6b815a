"""Files that a reader sees whole or not at all; a group shares them where their folder says so."""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def is_shared(folder: Path) -> bool:
    """Whether the group may write to a folder; folders such as /tmp do not count (sticky bit)."""
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWGRP) and not mode & stat.S_ISVTX


def share_as_folder(path: Path) -> None:
    """Lets the group write to a new file or folder if it may write to the folder around it.

    The umask would take that right away. Folders keep the setgid bit that they were made with, so
    that what is made in them belongs to the same group.
    """
    if is_shared(path.parent):
        mode = stat.S_IMODE(path.stat().st_mode)
        group = stat.S_IRWXG if path.is_dir() else stat.S_IRGRP | stat.S_IWGRP
        if mode & group != group:
            with suppress(OSError):  # file systems without modes
                path.chmod(mode | group)


@contextmanager
def explained_denial(path: Path) -> Iterator[None]:
    """Adds to a PermissionError what several users of one folder have to set."""
    try:
        yield
    except PermissionError as error:
        if error.errno is None:  # explained already
            raise
        folder = next(p for p in (path, *path.parents) if os.path.isdir(p))
        raise PermissionError(
            f"{error.filename or path} cannot be written ({error.strerror}). If several users "
            "share this folder, its owner makes it writable for the group, with all that is in "
            f"it: chmod -R g+ws {shared_root(folder)}; what is made there later follows by itself "
            "(other programs need umask 002)"
        ) from error


def shared_root(folder: Path) -> Path:
    """The results folder around a folder, or the folder itself."""
    for part in (folder, *folder.parents):
        if part.name in ("store", "runs"):
            return part.parent
    return folder


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, if they are not there.

    Raises:
        PermissionError: it cannot be made; the message says what to set.
    """
    with explained_denial(path):
        missing = [p for p in (path, *path.parents) if not p.exists()]
        for folder in reversed(missing):
            try:
                folder.mkdir()
            except FileExistsError:  # another process was faster
                continue
            share_as_folder(folder)
        if not path.is_dir():
            path.mkdir()  # raises FileExistsError


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a temporary file in the folder of `path`, then renames it to `path`.

    Folders are made as needed; after an error `path` is as it was.

    Args:
        path: where the file is to be.
        write: called with the temporary file's path, which ends as `path` does.

    Raises:
        PermissionError: the folder cannot be written; the message says what to set.
    """
    _replace(path, path.with_name(f".{_unique()}.{path.name}"), write)


def write_json(path: Path, value: object) -> None:
    """Writes a value as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes bytes, whole or not at all.

    Raises:
        PermissionError: the folder cannot be written; the message says what to set.
    """
    temporary = path.with_name(f".{path.name}.{_unique()}.tmp")  # no folder listing takes it

    def write(file: Path) -> None:
        file.write_bytes(data)

    _replace(path, temporary, write)


def _unique() -> str:
    """A word for the name of a temporary file that no other process uses, on any host."""
    return f"{os.getpid()}.{uuid.uuid4().hex[:8]}"


def _replace(path: Path, temporary: Path, write: Callable[[Path], None]) -> None:
    """Fills `temporary`, brings it to disk (fsync) and renames it to `path`."""
    make_folder(path.parent)
    try:
        with explained_denial(path.parent):
            write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        share_as_folder(temporary)
        temporary.replace(path)
    finally:
        with suppress(PermissionError):
            temporary.unlink(missing_ok=True)


def append_line(path: Path, text: str) -> None:
    """Appends a line to a file, which is made with its folder if it is not there.

    Raises:
        PermissionError: the file cannot be written; the message says what to set.
    """
    make_folder(path.parent)
    with explained_denial(path), path.open("a") as file:
        file.write(text + "\n")
        new = file.tell() == len(text.encode()) + 1
    if new:
        share_as_folder(path)
