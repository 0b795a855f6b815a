"""Locks: one process at a time writes a piece of the results folder.

A lock is flock(2) on a small file. The kernel releases it when its owner ends, however it ends. On
NFS the server does the same with byte-range locks, and releases those of a vanished client after
its lease. Where the file system knows no flock, the lock is the holder's file next to it, which a
heartbeat keeps alive: see `fsig_bench.store.holder`. The holder's file is there in both cases, so
whoever waits can say for whom, and processes of both kinds exclude each other.

Locks may be shared by several users: see `fsig_bench.api.files.share_as_folder`.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.api.files import explained_denial, make_folder, share_as_folder
from fsig_bench.api.stopping import stop_if_asked
from fsig_bench.console import console
from fsig_bench.store.clock import heartbeat
from fsig_bench.store.holder import (
    Holder,
    Sign,
    claim,
    holder_path,
    is_stale,
    read_sign,
    release,
    touch,
)

if sys.platform != "win32":
    import fcntl

NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
POLL_S = 0.2, 2.0  # the first and the longest pause between two looks at a lock


class Busy(RuntimeError):
    """Another process holds the lock."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A lock that this process holds."""

    path: Path
    holder: Holder
    fd: int

    def end(self) -> None:
        """Releases it."""
        try:
            release(holder_path(self.path), self.holder)
        finally:
            os.close(self.fd)


def flock(fd: int, *, shared: bool = False) -> bool | None:
    """Whether the open file is locked now; None where its file system has no such locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_FLOCK:
            return None
        raise
    return True


def open_lock_file(path: Path) -> int:
    """The lock file, opened for writing; made if it is not there.

    Raises:
        PermissionError: this user may not write it; the message says what to set.
    """
    with explained_denial(path):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    share_as_folder(path)
    return fd


def is_left_behind(path: Path, sign: Sign) -> bool:
    """Whether a holder's file belongs to nobody, for a process that has the flock."""
    if sign.holder is None:
        return sign.age_s > 5  # it takes a moment to write
    return sign.holder.by == "flock" or is_stale(path, sign)


def try_lock(path: Path) -> Lease | None:
    """The lock, if nobody else holds it."""
    fd = open_lock_file(path)
    try:
        got = flock(fd)
        # `runs unlock` removes the lock file: what is locked then is not at its path any more.
        if got is not False and is_same_file(path, fd):
            holder = Holder.this_process(by="file" if got is None else "flock")
            stale = is_stale if got is None else is_left_behind
            if claim(holder_path(path), holder, stale):
                return Lease(path=path, holder=holder, fd=fd)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def is_same_file(path: Path, fd: int) -> bool:
    """Whether a path still leads to the file that was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


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
    make_folder(path.parent)
    lease = try_lock(path)
    if lease is None and not holder_path(path).exists():
        time.sleep(POLL_S[0])  # somebody only looked whether it is held, or was just releasing it
        lease = try_lock(path)
    if lease is None:
        if not wait:
            sign = read_sign(holder_path(path))
            raise Busy(f"{what}: another process works on it ({sign or 'not known which'})")
        lease = wait_for(path, what)
    try:
        with heartbeat(lambda: beat(path, lease.holder, what)):
            yield
    finally:
        lease.end()


def wait_for(path: Path, what: str) -> Lease:
    """Waits for a lock, and says for whom and when that holder falls silent."""
    pause, longest = POLL_S
    printed: set[tuple[str, bool]] = set()
    while (lease := try_lock(path)) is None:
        stop_if_asked()
        sign = read_sign(holder_path(path))
        state = (sign.token, sign.is_silent) if sign else ("", False)
        if state not in printed and (sign or not printed):
            console.print(waiting_line(path, what, sign))
        printed.add(state)
        time.sleep(pause)
        pause = min(1.5 * pause, longest)
    return lease


def waiting_line(path: Path, what: str, sign: Sign | None) -> str:
    """What a process that waits for a lock prints."""
    who = sign or "not known which"
    line = f"{what}: another process works on it ({who}); waiting until it ends (lock {path})"
    if sign is None or not sign.is_silent:
        return line
    free = f"fsig-bench runs unlock {path.stem} results_dir={path.parent.parent.parent}"
    return f"{line}; if that process is gone, this frees the lock: {free}"


def beat(path: Path, holder: Holder, what: str) -> bool:
    """One heartbeat of a lock; false, with a message, where the lock was lost."""
    if touch(holder_path(path), holder):
        return True
    sign = read_sign(holder_path(path))
    console.print(
        f"{what}: this process was silent for so long that its lock was freed "
        f"({sign or 'nobody'} holds it now); what it writes is whole, but may be made twice",
    )
    return False


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    free = None
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        pass  # another user's, in a folder that is not shared: the holder's file has to do
    else:
        try:
            free = flock(fd, shared=True)
        finally:
            os.close(fd)
    if free is False:
        return True
    sign = read_sign(holder_path(path))
    if sign is None or (free and sign.holder is not None and sign.holder.by == "flock"):
        return False
    return not sign.looks_gone
