"""Locks: one process at a time writes a piece of the results folder.

A lock is flock(2) on a small file (package filelock). The kernel releases it when its owner ends,
however it ends, so a lock never becomes stale and no clock is needed. On NFS the server does the
same with byte-range locks, and releases those of a vanished client after its lease. On a file
system without flock, filelock instead creates a file that must not exist before; `runs` names its
owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(RuntimeError):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, what: str, wait: bool = True) -> Iterator[None]:
    """Holds the lock of a file, which is created if it does not exist.

    Args:
        path: the file of the lock; it stays, empty.
        what: what the lock protects, for messages.
        wait: whether to wait for another holder, however long it takes, or to raise Busy.

    Raises:
        Busy: another process holds it and `wait` is false.
        OSError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    from fsig_bench.console import console

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            raise Busy(f"{what}: another process works on it") from error
        console.print(f"{what}: another process works on it; waiting until it ends (lock {path})")
        lock.acquire(timeout=-1, poll_interval=0.2)
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    from filelock import FileLock, Timeout

    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
