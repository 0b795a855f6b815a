"""Kills a grid of runs again and again, and lets a crowd of processes ask for the same grid.

    python tests/bench/kills.py [KILLS=200] [PROCESSES=8] [CELLS=20]

Every kill is a SIGKILL at a random instant. After each, every record and every piece of the store
must be whole, and whatever was complete must still be the same file, untouched. When the grid is
finished its pixels, metrics and states must be those of an undisturbed grid; then it starts anew
until the kills are used up. The crowds are those of crowd.py, with flock and without.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # processes are forked after the libraries have begun
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helpers import BRIEF, make_cell

from fsig_bench.console import console
from fsig_bench.runner import run as runner
from fsig_bench.store.files import read_tensors
from fsig_bench.store.lock import Busy
from fsig_bench.store.maintenance import damaged_files
from fsig_bench.store.records import read_record
from fsig_bench.store.store import Store

TINY = [*BRIEF, "dataset=babies", "k=2", "dataset.n_ref=100", "suite.shard_size=4", "num_images=8"]
TINY += ["batch_size=4", "figures.tsne_points=12", "controls=[]", "checkpoint_s=0"]
METHODS = [["method=source", "method.num_steps=2"], ["method=copy"], ["method=real"]]
CRDI = ["method=crdi", "method.draws=1", "method.card.reconstruct_sweep=null"]
CRDI += ["method.num_steps=6", "method.t_start=1", "method.t_end=4", "method.segments=3"]
METHODS += [CRDI]


def grid(count: int, *more: str) -> list:
    """`count` small cells of several methods; `more` are settings of all of them."""
    words = [[*TINY, *own, *more, f"seed={seed}"] for seed in range(count) for own in METHODS]
    return [make_cell(*w) for w in words[:count]]


def child(cells, root: Path, log: Path | None = None) -> int:
    """Forks a process that runs all cells, those that are busy last; returns its number."""
    if pid := os.fork():
        return pid
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    if log is not None:
        count_what_is_made(log)
    store, left = Store(root), list(cells)
    try:
        for wait in (False, True):
            busy = []
            for cell in left:
                try:
                    runner.run(cell, store, wait=wait)
                except Busy:
                    busy.append(cell)
            left = busy
    except BaseException as error:
        if log is not None:
            line(log, f"error {error!r}")
        os._exit(1)
    os._exit(0)


def line(log: Path, text: str) -> None:
    """One whole line, whoever else writes."""
    with log.open("a") as file:
        file.write(text + "\n")


def count_what_is_made(log: Path) -> None:
    """Every run, state and shard that this process makes becomes a line."""
    state, shard, whole = Store.save_state, Store.save_shard, runner._run

    def save_state(self, key, *rest):
        line(log, f"state {key}")
        return state(self, key, *rest)

    def save_shard(self, key, start, *rest):
        line(log, f"shard {key} {start}")
        return shard(self, key, start, *rest)

    def run(cell, *rest, **more):
        record = whole(cell, *rest, **more)  # raises Busy where another process makes a stage
        line(log, f"run {cell.run_id}")
        return record

    Store.save_state, Store.save_shard, runner._run = save_state, save_shard, run


def results(root: Path) -> dict:
    """What must not depend on kills: numbers, pixels, states and shards, by name."""
    found = {}
    for path in root.rglob("record.json"):
        r = read_record(path)
        found[r["run_id"]] = r["metrics"], r["pixels_sha256"], r["nfe_adapt"], r["trained_params"]
    for path in (root / "store").rglob("*.safetensors"):
        if path.parent.parent.name in ("adapt", "sample"):
            tensors, meta = read_tensors(path)
            found[str(path.relative_to(root))] = sorted(tensors), meta["content"]
    return found


def complete(root: Path) -> dict[Path, tuple[int, int]]:
    """Pieces that are final, with what would betray that one was made again."""
    pieces = [*root.rglob("record.json"), *root.rglob("state.safetensors")]
    pieces += root.glob("store/sample/*/*.safetensors")
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in pieces}


def torment(kills: int, root: Path, count: int, seed: int = 0) -> tuple[int, int]:
    """Kills a grid `kills` times; returns (grids finished, runs completed under fire).

    Raises:
        AssertionError: something was lost, half-written, made again or came out otherwise.
    """
    cells, rng = grid(count), random.Random(seed)
    console.quiet = True
    for folder in ("first", "calm"):  # the second time with the libraries and the reference loaded
        began = time.perf_counter()
        for cell in cells:
            runner.run(cell, Store(root / folder))
        span = time.perf_counter() - began
    expected = results(root / "calm")
    finished, done, here = 0, 0, root / "storm"
    survived, known = 0, {}
    while done < kills:
        pid = child(cells, here)
        time.sleep(rng.uniform(0, span / 2))  # a grid takes several lives
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        done += os.WIFSIGNALED(status)
        now = complete(here) if here.exists() else {}
        for path, stamp in known.items():
            assert now.get(path) == stamp, f"{path} was lost or made again at kill {done}"
        survived += sum(p.name == "record.json" for p in now.keys() - known.keys())
        known = now
        damaged = list(damaged_files(Store(here))) if here.exists() else []
        assert not damaged, f"at kill {done}: {damaged}"
        if len(list(here.rglob("record.json"))) == count:
            assert results(here) == expected, "the grid came out otherwise"
            shutil.rmtree(here)
            finished, known = finished + 1, {}
    assert os.waitpid(child(cells, here), 0)[1] == 0
    assert results(here) == expected, "the grid came out otherwise"
    return finished + 1, survived


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    kills, processes, count = [*given, *(200, 8, 20)[len(given) :]]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        grids, survived = torment(kills, Path(folder), min(6, count))
        spent = time.perf_counter() - began
        print(
            f"{kills} kills over {grids} grids in {spent:.0f} s: nothing lost, {survived} records "
            "written under fire"
        )
    from crowd import crowds  # which imports this file

    raise SystemExit(crowds(processes, count) > 0)
