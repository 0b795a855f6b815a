"""Sends SIGTERM to a small run at random moments and counts the signals that were lost.

    python tests/bench/sigterm.py [SIGNALS=100] [WORKERS=1]

A signal is lost if the process still lives WAIT_S later. It must end with exit status 143, or by
the signal itself where the run has not begun or is done. Its status must be `timeout` unless its
record is there, and every piece of the store must be whole. Every run is continued after each
signal, and must come out as an undisturbed one.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # processes are forked after the libraries have begun
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from kills import grid

from fsig_bench.console import console
from fsig_bench.runner import run as runner
from fsig_bench.store.maintenance import damaged_files
from fsig_bench.store.status import read_status
from fsig_bench.store.store import Store

WAIT_S = 30.0


def child(cell, root: Path) -> int:
    """Forks a process that runs a cell and then waits for the signal; returns its number."""
    if pid := os.fork():
        return pid
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    code = 1
    try:
        runner.run(cell, Store(root))
        while True:
            signal.pause()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def ended(pid: int, wait_s: float) -> int | None:
    """The wait status of a process that ends within `wait_s`; None if it goes on."""
    limit = time.monotonic() + wait_s
    while time.monotonic() < limit:
        if (found := os.waitpid(pid, os.WNOHANG))[0]:
            return found[1]
        time.sleep(0.02)
    return None


def terminate(signals: int, root: Path, seed: int = 0, words: tuple[str, ...] = ()) -> Counter:
    """Sends that many signals; returns how many ended the process in which way.

    Raises:
        AssertionError: a status, a record or a piece of the store is not as it must be.
    """
    cells, rng, outcomes = grid(4, *words), random.Random(seed), Counter()
    console.quiet = True
    spans = {}
    for folder in ("first", "calm"):  # the second time with the libraries loaded
        for cell in cells:
            began = time.perf_counter()
            runner.run(cell, Store(root / folder))
            spans[cell.run_id] = time.perf_counter() - began
    calm = Store(root / "calm")
    for n in range(signals):
        cell = cells[n % len(cells)]
        here = root / f"storm-{cell.run_id}"  # continues where the signal before ended it
        pid = child(cell, here)
        time.sleep(rng.uniform(0, spans[cell.run_id]))
        os.kill(pid, signal.SIGTERM)
        status = ended(pid, WAIT_S)
        folder = here / cell.folder
        done = (folder / "record.json").exists()
        if status is None:
            outcomes["lost"] += 1
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        elif os.WIFSIGNALED(status):
            outcomes["before or after the run"] += 1
        else:
            assert os.waitstatus_to_exitcode(status) == 143, os.waitstatus_to_exitcode(status)
            kept = read_status(folder).get("status")
            assert done or kept == "timeout", f"signal {n}: no record, and status {kept}"
            outcomes["at its end, with a record" if done else "timeout"] += 1
        damaged = list(damaged_files(Store(here))) if here.exists() else []
        assert not damaged, f"signal {n}: {damaged}"
        if done:
            compare(cell, Store(here), calm)
            shutil.rmtree(here)
    for cell in cells[:signals]:
        here = Store(root / f"storm-{cell.run_id}")
        runner.run(cell, here)
        compare(cell, here, calm)
    return outcomes


def compare(cell, store: Store, calm: Store) -> None:
    """Raises AssertionError where the signals changed the pixels of a run."""
    found, expected = (s.record(cell.folder)["pixels_sha256"] for s in (store, calm))
    assert found == expected, f"{cell.label} came out otherwise"


def report(signals: int, outcomes: Counter, seconds: float) -> str:
    """A Markdown row: what was done, how often, how many were lost, how the others ended."""
    lost = outcomes.pop("lost", 0)
    how = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    return f"| SIGTERM at a random moment | {signals} | {lost} lost | {how} ({seconds:.0f} s) |"


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    signals, workers = [*given, *(100, 1)[len(given) :]]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        outcomes = terminate(signals, Path(folder), words=(f"workers={workers}",))
        lost = outcomes["lost"]
        print(report(signals, outcomes, time.perf_counter() - began))
        raise SystemExit(lost > 0)
