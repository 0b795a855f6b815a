"""The status of a run, in status.json of its folder: for people and for `fsig-bench runs`.

pending: a sweep will start it; running: with the time of the last heartbeat; failed, timeout,
interrupted (Ctrl-C): with the reason. A finished run has its record instead. Whether a run may
start is not decided by this file but by the lock (`fsig_bench.store.lock`).
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsig_bench.api.plain import JsonDict
from fsig_bench.api.stopping import REQUEST, TimeLimit
from fsig_bench.store.clock import heartbeat, now
from fsig_bench.store.lock import Busy


def read_status(folder: Path) -> JsonDict:
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


def write_status(folder: Path, status: str, command: str, **more: object) -> None:
    """Writes the file; a full disk does not stop the run."""
    from fsig_bench.api.files import write_json

    value = {"status": status, "time": now(), "command": command, **more}
    value |= {"host": platform.node(), "pid": os.getpid()}
    with suppress(OSError):
        write_json(folder / "status.json", value)


def typed_command(method: str) -> str:
    """The command of a run of `method`: what was typed; for a control, with its name as method."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return f"python -m fsig_bench method={method}"
    words = list(HydraConfig.get().overrides.task)
    if f"method={method}" not in words:
        words = [w for w in words if not w.lstrip("+~").startswith("method")] + [f"method={method}"]
    own = ("on_busy=", "preflight=")
    return shlex.join(["python", "-m", "fsig_bench", *(w for w in words if not w.startswith(own))])


def ending_of(error: BaseException) -> tuple[str, str]:
    """The status of a run that an error ended, and the reason."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted with Ctrl-C; the same command continues"
    if isinstance(error, Busy):
        return "pending", f"left until a stage is free: {error}"
    # A signal to all processes may end the run's workers first, which is an error of its own.
    if isinstance(error, TimeLimit | SystemExit) or REQUEST.asked:
        return "timeout", "ended from outside; the same command continues"
    return "failed", str(error)


@contextmanager
def record_status(folder: Path, command: str) -> Iterator[None]:
    """Keeps the status of a run while it runs, and its reason when it fails.

    SIGTERM ends the run: with status `timeout` and exit status 143, which is also the exit status
    if the run was finishing at that moment.
    """
    began = now()
    ours = REQUEST.begin()  # a launcher may have a handler of its own

    def beat() -> bool:
        write_status(folder, "running", command, began=began)
        return True

    try:
        with heartbeat(beat):
            # Only now: who reads "running" may send the signal at once.
            write_status(folder, "running", command, began=began)
            yield
            if ours:
                REQUEST.be_quiet()
    except BaseException as error:
        if ours:
            REQUEST.be_quiet()
        status, reason = ending_of(error)
        trace = "".join(traceback.format_exception(error)[-4:])
        write_status(folder, status, command, began=began, error=reason, trace=trace)
        if isinstance(error, TimeLimit):
            sys.exit(143)  # 128 + SIGTERM, as without a handler
        raise
    else:
        (folder / "status.json").unlink(missing_ok=True)
    finally:
        if ours and REQUEST.end():
            sys.exit(143)
