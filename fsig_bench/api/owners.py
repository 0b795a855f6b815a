"""Temporary files and folders that name the process which owns them, and locks between processes.

A name carries host and process, so that what a killed process leaves can be told from what another
process works on.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsig_bench.api.files import explained_denial, make_folder, share_as_folder

HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"
NAME = re.compile(r"\..+\.([A-Za-z0-9-]+)\.(\d+)\.(?:tmp|part)")
SILENT_S = 3600.0  # a living owner writes more often than this
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def own_path(target: Path, ending: str) -> Path:
    """A hidden path in the folder of `target` that belongs to this process.

    Args:
        target: what the temporary file or folder is to become.
        ending: tmp or part.
    """
    return target.with_name(f".{target.name}.{HOST}.{os.getpid()}.{ending}")


def left_behind(target: Path, ending: str) -> list[Path]:
    """The temporary files and folders of `target` whose owners have ended, sorted.

    Whoever removes them or goes on with them holds the lock of `target`.
    """
    start, folder = f".{target.name}.", target.parent
    found = folder.iterdir() if folder.is_dir() else ()
    names = (p for p in found if p.name.startswith(start) and p.name.endswith(f".{ending}"))
    return sorted(path for path in names if is_abandoned(path))


def is_abandoned(path: Path) -> bool:
    """Whether the owner of a temporary file or folder has ended.

    A process of this host is asked for. Any other owner counts as ended once nothing has changed
    for an hour.
    """
    owner = NAME.fullmatch(path.name)
    if owner and owner[1] == HOST and not _is_alive(int(owner[2])):
        return True
    with suppress(OSError):  # removed by another process in the meantime
        places = [path, *path.iterdir()] if path.is_dir() else [path]
        return time.time() - max(p.stat().st_mtime for p in places) > SILENT_S
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # a process of another user
    return True


@contextmanager
def exclusive(target: Path, *, waiting: Callable[[Path], None]) -> Iterator[None]:
    """Lets one process at a time write `target`.

    On a file system without locks all may write at the same time; every process has a temporary
    file of its own, so nothing mixes.

    Args:
        target: the file or folder; its lock is a hidden file in the same folder, which stays.
        waiting: called with the lock's path before this process waits for another.

    Raises:
        OSError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    path = lock_path(target)
    make_folder(path.parent)
    lock = FileLock(path)
    with explained_denial(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting(path)
            lock.acquire(timeout=-1, poll_interval=0.2)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
    try:
        if path.exists():
            share_as_folder(path)
        yield
    finally:
        lock.release()


def lock_path(target: Path) -> Path:
    """The lock of a file or folder."""
    return target.with_name(f".{target.name}.lock")
