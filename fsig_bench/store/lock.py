"""One writer at a time, for as long as it lives.

Locks are flock(2) on small files (package filelock): the kernel lets go when the owner ends,
however it ends, so nothing is ever stale and no clock is asked. On NFS the server does the same
through its byte-range locks; a client that vanished is let go after the server's lease. Where a
file system knows no flock, filelock falls back on a file that must not exist, and `runs` names its
owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(RuntimeError):
    """Another process is at it."""


@contextmanager
def locked(path: Path, *, what: str, wait: bool = True) -> Iterator[None]:
    """Holds the lock of a file that is made if need be.

    Args:
        path: the lock's file; it stays, empty.
        what: what is done under it, for messages.
        wait: whether to wait for another holder, however long, or to give up at once.

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
            raise Busy(f"{what}: another process is at it") from error
        console.print(f"{what}: waiting for another process that is at it ({path})")
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
