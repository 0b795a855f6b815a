"""The file that says who holds a lock, and whether the holder still works.

It lies next to the lock file, as NAME.lock.holder: host, process, since when. Its holder touches it
every HEARTBEAT_S; the time of the last touch is the file's own, given by the file system, and is
compared with the time that the same file system gives to a new file. So no two machines' clocks are
compared.

Where the file system knows no flock this file is the lock itself. It is created exclusively. It is
taken over if its holder is known to be dead (same machine), or if it was not touched for STALE_S
and then stays untouched while a waiting process watches for WATCH_S by its own clock.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fsig_bench.api.files import explained_denial, share_as_folder, write_bytes
from fsig_bench.console import duration
from fsig_bench.store.clock import HEARTBEAT_S, file_system_now, now

SILENT_S = 4 * HEARTBEAT_S  # from here on messages say that there is no heartbeat
STALE_S = 8 * HEARTBEAT_S
WATCH_S = 2 * HEARTBEAT_S


def process_mark(pid: int | str = "self") -> str:
    """What names a process for ever: machine start, process namespace, number, start time.

    Empty where the system does not say (no /proc), or where there is no such process.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.stat("/proc/self/ns/pid").st_ino
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        number = os.getpid() if pid == "self" else pid
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{boot}/{space}/{number}/{fields[19]}"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that holds a lock."""

    host: str
    pid: int
    since: str  # UTC, ISO 8601
    mark: str  # see process_mark
    by: str  # "flock": the kernel has the lock; "file": the file itself is the lock
    nonce: str  # no two holders write the same file

    @classmethod
    def this_process(cls, *, by: str) -> Holder:
        """A new holder: this process, now."""
        return cls(
            host=platform.node(),
            pid=os.getpid(),
            since=now(),
            mark=process_mark(),
            by=by,
            nonce=uuid.uuid4().hex,
        )

    def encoded(self) -> bytes:
        """The content of the file."""
        return (json.dumps(asdict(self)) + "\n").encode()

    def is_dead(self) -> bool:
        """Whether the process is known to have ended, which only its own machine can know."""
        own = process_mark()
        if not own or self.mark.split("/")[:2] != own.split("/")[:2]:
            return False
        return process_mark(self.pid) != self.mark


@dataclass(frozen=True, kw_only=True)
class Sign:
    """What a reader sees of a holder's file."""

    holder: Holder | None  # None: the file is not written yet, or is not readable
    token: str  # another one for every file that was ever there
    touched: int  # ns: the last heartbeat, by the file system's clock
    age_s: float  # since then, by the same clock

    @property
    def is_silent(self) -> bool:
        """Whether several heartbeats are missing."""
        return self.age_s > SILENT_S

    @property
    def looks_gone(self) -> bool:
        """Whether the holder is dead or silent for very long, as far as one look can tell."""
        return self.age_s >= STALE_S or (self.holder is not None and self.holder.is_dead())

    def __str__(self) -> str:
        h = self.holder
        who = f"pid {h.pid} on {h.host} since {h.since}" if h else "not known which"
        return f"{who}, last heartbeat {duration(self.age_s)} ago"


def holder_path(lock: Path) -> Path:
    """The file of a lock's holder."""
    return lock.with_name(f"{lock.name}.holder")


def read_sign(path: Path) -> Sign | None:
    """The holder's file as it is now; None where there is none."""
    try:
        data, stat = path.read_bytes(), path.stat()
    except FileNotFoundError:
        return None
    try:
        holder = Holder(**json.loads(data))
    except (ValueError, TypeError):
        holder = None
    token = hashlib.sha256(data + str(stat.st_ino).encode()).hexdigest()[:16]
    age = (file_system_now(path.parent) - stat.st_mtime_ns) / 1e9
    return Sign(holder=holder, token=token, touched=stat.st_mtime_ns, age_s=max(0.0, age))


_watched: dict[Path, tuple[str, int, float]] = {}  # token, touched, since when by our own clock


def is_stale(path: Path, sign: Sign) -> bool:
    """Whether a holder that no kernel speaks for has gone: dead, or silent for long and watched."""
    if sign.holder is not None and sign.holder.is_dead():
        return True
    if sign.age_s < STALE_S:
        _watched.pop(path, None)
        return False
    seen = (sign.token, sign.touched)
    kept = _watched.get(path)
    if kept is None or kept[:2] != seen:
        _watched[path] = (*seen, time.monotonic())
        return False
    return time.monotonic() - kept[2] >= WATCH_S


def claim(path: Path, holder: Holder, stale: Callable[[Path, Sign], bool]) -> bool:
    """Makes `path` the holder's file if there is none, or if the one that is there is stale.

    Of all processes that find the same stale file, one replaces it: the one that creates the file
    AFTER_<token of the stale file>. It then looks once more, and renames its own file to `path`.
    If it dies before, its AFTER file goes stale itself, and is taken over in the same way.
    """
    if _create(path, holder):
        return True
    sign = read_sign(path)
    if sign is None or not stale(path, sign):
        return False
    after = path.with_name(f"{path.name}.after-{sign.token}")
    if not claim(after, holder, stale):
        return False
    try:
        again = read_sign(path)
        if again is None or (again.token, again.touched) != (sign.token, sign.touched):
            return False
        write_bytes(path, holder.encoded())
        _watched.pop(path, None)
        return True
    finally:
        after.unlink(missing_ok=True)


def _create(path: Path, holder: Holder) -> bool:
    """Creates the file, which must not be there."""
    try:
        with explained_denial(path.parent):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(fd, holder.encoded())
    finally:
        os.close(fd)
    share_as_folder(path)
    return True


def touch(path: Path, holder: Holder) -> bool:
    """One heartbeat; false where the file is not this holder's own any more."""
    try:
        if path.read_bytes() != holder.encoded():
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # a server that does not answer for a while; the next heartbeat tries again
        pass
    return True


def release(path: Path, holder: Holder) -> None:
    """Removes the file if it is this holder's own."""
    with suppress(OSError):
        if path.read_bytes() == holder.encoded():
            path.unlink(missing_ok=True)
