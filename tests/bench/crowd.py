"""Lets a crowd of processes ask for the same cells, with flock and without.

    python tests/bench/crowd.py [PROCESSES=8] [CELLS=20] [KILLS=0]

Every run, state and shard must be made exactly once: none twice, none missing, none damaged.
Without flock (the locks then are files with heartbeats) the system call is made to fail in the
forked processes with ENOLCK, as on a file system that has no such locks. With KILLS, members of
the crowd are killed at random and replaced: then some pieces are begun again, but none is lost.
Prints a Markdown row for each kind of lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # processes are forked after the libraries have begun
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from kills import child, grid

from fsig_bench.console import console
from fsig_bench.runner import run as runner
from fsig_bench.store.maintenance import damaged_files
from fsig_bench.store.store import Store


@contextmanager
def without_flock() -> Iterator[None]:
    """Inside, and in processes forked inside, the file system has no flock."""
    real = fcntl.flock

    def fail(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl.flock = fail
    try:
        yield
    finally:
        fcntl.flock = real


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a crowd left."""

    pieces: int  # different runs, states and shards that were made
    twice: int  # of these, how many were made more than once
    lost: int  # records that are missing at the end
    damaged: int  # files that are not what was written
    errors: int  # processes that ended with an error
    kills: int
    seconds: float

    @property
    def wrong(self) -> int:
        """How many of these must not be; begun again is no fault where processes were killed."""
        return self.lost + self.damaged + self.errors + (0 if self.kills else self.twice)


def crowd(root: Path, *, processes: int, count: int, kills: int = 0, seed: int = 0) -> Outcome:
    """Lets `processes` ask for the same `count` cells; kills and replaces `kills` of them."""
    cells, log, rng = grid(count), root / "made.log", random.Random(seed)
    console.quiet = True
    runner.run(cells[0], Store(root / "warm"))  # the libraries are loaded before the forks
    log.touch()
    began = time.perf_counter()
    crowd = [child(cells, root / "crowd", log) for _ in range(processes)]
    for _ in range(kills):
        time.sleep(rng.uniform(0, 2))
        victim = crowd.pop(rng.randrange(len(crowd)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        crowd.append(child(cells, root / "crowd", log))
    errors = sum(os.waitpid(pid, 0)[1] != 0 for pid in crowd)
    lines = Counter(log.read_text().splitlines())
    made = {name: n for name, n in lines.items() if not name.startswith("error")}
    return Outcome(
        pieces=len(made),
        twice=sum(n > 1 for n in made.values()),
        lost=count - len(list((root / "crowd").rglob("record.json"))),
        damaged=len(list(damaged_files(Store(root / "crowd")))),
        errors=errors,
        kills=kills,
        seconds=time.perf_counter() - began,
    )


def row(what: str, outcome: Outcome, *, processes: int, count: int) -> str:
    """A Markdown row: what was done, how often, what went wrong, how long it took."""
    o = outcome
    asked = f"{what}: {processes} processes ask for {count} cells"
    if o.kills:
        asked += f", {o.kills} of them are killed"
    twice = f"{o.twice} begun again" if o.kills else f"{o.twice} made twice"
    wrong = f"{twice}, {o.lost} lost, {o.damaged} damaged, {o.errors} errors"
    return f"| {asked} | {o.pieces} pieces | {wrong} | {o.seconds:.0f} s |"


def crowds(processes: int, count: int, kills: int = 0) -> int:
    """A crowd with flock and one without, a printed row each; returns what went wrong in both."""
    wrong = 0
    for what in ("flock", "lock files"):
        with (
            tempfile.TemporaryDirectory() as folder,
            without_flock() if what == "lock files" else nullcontext(),
        ):
            found = crowd(Path(folder), processes=processes, count=count, kills=kills)
        print(row(what, found, processes=processes, count=count), flush=True)
        wrong += found.wrong
    return wrong


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    raise SystemExit(crowds(*[*given, *(8, 20, 0)[len(given) :]]) > 0)
