"""Times in the store: the hour for people, the file system's own clock, and heartbeats."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

HEARTBEAT_S = 15.0


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def file_system_now(folder: Path) -> int:
    """The time in ns that a folder's file system gives to a new file."""
    probe = folder / f".clock.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime_ns
    except OSError:  # a folder that this user may only read
        return time.time_ns()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


@contextmanager
def heartbeat(beat: Callable[[], bool]) -> Iterator[None]:
    """Calls `beat` every HEARTBEAT_S in a thread, until it returns false or the block ends."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(HEARTBEAT_S) and beat():
            pass

    heart = threading.Thread(target=go_on, daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
