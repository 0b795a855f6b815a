"""The status of a run, in status.json of its folder: for people and for `fsig-bench runs`.

pending: a sweep will start it; running: with the time of the last heartbeat; failed, timeout,
interrupted (Ctrl-C): with the reason. A finished run has its record instead. Whether a run may
start is not decided by this file but by the lock (`fsig_bench.store.lock`).
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HEARTBEAT_S = 15.0


class TimeLimit(BaseException):
    """The scheduler asks the process to end (SIGTERM); no method catches it."""


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_status(folder: Path) -> dict[str, Any]:
    """The status file of a run folder: status, time, command and more.

    Empty where there is none; where it cannot be read, status is "unreadable", error says why.
    """
    try:
        found = json.loads((folder / "status.json").read_text(errors="replace"))
        if not isinstance(found, dict):
            raise ValueError(f"not an object but {type(found).__name__}")
    except OSError:
        return {}
    except ValueError as error:
        return {"status": "unreadable", "error": f"status.json cannot be read: {error}"}
    return found


def write_status(folder: Path, status: str, command: str, **more: Any) -> None:
    """Writes the file; a full disk does not stop the run."""
    from fsig_bench.api.files import write_json

    value = {"status": status, "time": now(), "command": command, **more}
    value |= {"host": platform.node(), "pid": os.getpid()}
    with suppress(OSError):
        write_json(folder / "status.json", value)


def typed_command(method: str) -> str:
    """What was typed, for a job of it and a method of its own (a control stands in its place)."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return f"python -m fsig_bench method={method}"
    words = list(HydraConfig.get().overrides.task)
    if f"method={method}" not in words:
        words = [w for w in words if not w.lstrip("+~").startswith("method")] + [f"method={method}"]
    own = ("on_busy=", "preflight=")
    return " ".join(["python -m fsig_bench", *(w for w in words if not w.startswith(own))])


def ending_of(error: BaseException) -> tuple[str, str]:
    """The status of a run that an error ended, and the reason."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted with Ctrl-C; the same command continues"
    if isinstance(error, TimeLimit | SystemExit):
        return "timeout", "ended from outside; the same command continues"
    return "failed", str(error)


def _on_terminate(number: int, frame: object) -> None:
    raise TimeLimit(f"signal {number}")


@contextmanager
def record_status(folder: Path, command: str) -> Iterator[None]:
    """Keeps the status of a run while it runs, and its reason when it fails."""
    began, stop = now(), threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_S):
            write_status(folder, "running", command, began=began)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    ours = False
    if threading.current_thread() is threading.main_thread():
        ours = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # a launcher may have set its own
        if ours:
            signal.signal(signal.SIGTERM, _on_terminate)
    try:
        # Only now: who reads "running" may send the signal at once.
        write_status(folder, "running", command, began=began)
        yield
    except BaseException as error:
        stop.set()
        heart.join()
        status, reason = ending_of(error)
        trace = "".join(traceback.format_exception(error)[-4:])
        write_status(folder, status, command, began=began, error=reason, trace=trace)
        if isinstance(error, TimeLimit):
            sys.exit(143)  # 128 + SIGTERM, as without a handler
        raise
    else:
        stop.set()
        heart.join()
        (folder / "status.json").unlink(missing_ok=True)
    finally:
        stop.set()
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
