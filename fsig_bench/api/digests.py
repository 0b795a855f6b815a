"""Digests of files: computed from the bytes once in each process, and pinned at first use.

What another process found, or what a small file says, is never believed of a file that is used:
its bytes are hashed when this process first opens it. After that, a file with the same path, size,
time and inode is the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fsig_bench.api.files import write_json
from fsig_bench.api.places import cache_folder

LARGE = 256 << 20  # bytes; hashing more takes noticeable time


class FileState(NamedTuple):
    """What tells within a process whether a file is still the one that was hashed."""

    path: str
    size: int
    mtime_ns: int
    inode: int


_found: dict[FileState, str] = {}
_seconds: dict[FileState, float] = {}
_begun: dict[FileState, threading.Thread] = {}
os.register_at_fork(after_in_child=_begun.clear)  # threads do not survive a fork


def file_state(path: Path) -> FileState:
    """The present state of a file."""
    stat = path.stat()
    return FileState(str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ino)


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """The digest of a file's bytes, read once in this process as long as its state stays."""
    state = file_state(path)
    if thread := _begun.pop(state, None):
        thread.join()
    return _found.get(state) or _hash(path, state)


def start_hashing(path: Path) -> None:
    """Begins to hash a file in a thread; `sha256_once` waits for it."""
    state = file_state(path)
    if state not in _found and state not in _begun:
        _begun[state] = threading.Thread(target=_hash_quietly, args=(path, state), daemon=True)
        _begun[state].start()


def hashing_cost(path: Path) -> str | None:
    """What hashing a large file has cost, as a line; None for a small one, or the next time."""
    state = file_state(path)
    seconds = _seconds.pop(state, None)
    if seconds is None or state.size < LARGE:
        return None
    return f"checked {path.name}: sha256 of {state.size >> 20} MiB in {seconds:.1f} s"


def _hash(path: Path, state: FileState) -> str:
    begin = time.perf_counter()
    digest = sha256_of(path)
    if file_state(path) == state:  # else it was written while it was read
        _found[state], _seconds[state] = digest, time.perf_counter() - begin
    return digest


def _hash_quietly(path: Path, state: FileState) -> None:
    try:
        _hash(path, state)
    except OSError:
        return  # `sha256_once` tries again and raises


@dataclass(frozen=True, kw_only=True)
class Pin:
    """What a small file says of a file that was used before."""

    sha256: str
    stamp: tuple[int, int]  # size and time of change in ns, when it was hashed last
    place: Path  # the small file


def pin_places(path: Path) -> tuple[Path, Path]:
    """Where a file's pin is: in the same folder, or in the cache if that folder is read-only."""
    short = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    name = f"{path.name}.sha256.json"
    return path.with_name(name), cache_folder() / "pins" / f"{short}-{name}"


def read_pin(path: Path) -> Pin | None:
    """The pin of a file; None before its first use.

    Raises:
        ValueError: the pin is damaged.
    """
    for place in pin_places(path):
        if not place.exists():
            continue
        try:
            found = json.loads(place.read_text())
            size, time_ns = found["stamp"]
            sha256 = str(found["sha256"])
            if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
                raise ValueError("it holds no sha256")
            return Pin(sha256=sha256, stamp=(int(size), int(time_ns)), place=place)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{place} is damaged ({error}): it holds the digest that {path.name} had when it "
                f"was first used. Remove it if you trust {path}, or remove both"
            ) from error
    return None


def write_pin(path: Path, sha256: str) -> None:
    """Pins a file to the digest that its bytes have just been found to have."""
    stat = path.stat()
    value = {"sha256": sha256, "stamp": [stat.st_size, stat.st_mtime_ns]}
    near, far = pin_places(path)
    try:
        write_json(near, value)
    except OSError:  # the user's own folder may be read-only
        write_json(far, value)


def check_at_rest(path: Path, stated: str | None = None, *, pin_it: bool = True) -> str:
    """The sha256 of a file that is about to be used, once it has been found right.

    Args:
        path: the file.
        stated: the digest that it should have, or its first digits; None: not known.
        pin_it: whether a file without a pin is pinned.

    Raises:
        ValueError: the bytes are not those stated, or not those of its first use.
    """
    found = sha256_once(path)
    if stated and not found.startswith(stated.lower()):
        raise ValueError(
            f"{path} has sha256 {found}, and {stated}... is stated for it: it is another file or "
            "damaged. Remove it, or give its own `sha256` if you mean this one"
        )
    if stated and len(stated) == 64:
        return found
    pin = read_pin(path)
    if pin and pin.sha256 != found:
        raise ValueError(
            f"{path} has sha256 {found}, and had {pin.sha256} when it was first used: it is "
            f"another file or damaged. Remove it and get it again, or remove {pin.place} if you "
            "mean this one"
        )
    if pin_it and (pin is None or pin.stamp != file_state(path)[1:3]):
        write_pin(path, found)
    return found


def digest_for_keys(path: Path) -> str:
    """The sha256 of a file as keys hold it: the pinned one, which needs no reading.

    Whoever uses the file checks its bytes (`check_at_rest`). A file with another size or time than
    the pin says is checked at once.

    Raises:
        ValueError: see `check_at_rest`.
    """
    pin = read_pin(path)
    return pin.sha256 if pin and pin.stamp == file_state(path)[1:3] else check_at_rest(path)
