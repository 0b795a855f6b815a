"""A cell whose run or stage another process makes does not hold its place in a sweep."""

import multiprocessing
import time

import pytest
from helpers import BRIEF, make_cell, start

from fsig_bench import runs
from fsig_bench.runner.run import run
from fsig_bench.store.lock import Busy, locked
from fsig_bench.store.status import read_status
from fsig_bench.store.store import Store

CELL = [*BRIEF, "dataset=babies", "k=2", "dataset.n_ref=100", "suite.shard_size=4", "num_images=8"]
CELL += ["batch_size=4", "figures.tsne_points=12", "controls=[]"]
CELL += ["method=source", "method.num_steps=2"]
FORK = multiprocessing.get_context("fork")


def hold(path, ready, go):
    with locked(path, what="another's"):
        ready.set()
        go.wait(120)


@pytest.fixture
def other():
    """Another process that holds the lock of a stage until it is released."""
    started = []

    def hold_lock(path):
        ready, go = FORK.Event(), FORK.Event()
        process = FORK.Process(target=hold, args=(path, ready, go))
        process.start()
        started.append(process)
        assert ready.wait(60)
        return go

    yield hold_lock
    for process in started:
        process.kill()
        process.join()


def stage_lock(cell, store, stage):
    key = {"adapt": cell.adapt_key, "sample": cell.sample_key}[stage]
    return store.lock_path(f"{stage}-{key[:16]}")


@pytest.mark.parametrize("stage", ["adapt", "sample"])
def test_a_run_does_not_wait_for_a_stage_if_it_need_not(stage, other, tmp_path):
    cell, store = make_cell(*CELL), Store(tmp_path)
    go = other(stage_lock(cell, store, stage))
    began = time.monotonic()
    with pytest.raises(Busy, match=rf"{stage} .*another process works on it \(pid \d+ on "):
        run(cell, store, wait=False)
    assert time.monotonic() - began < 60
    assert runs.read_run(tmp_path / cell.folder, store).status == "pending"
    go.set()
    assert run(cell, store)[0]["run_id"] == cell.run_id
    assert read_status(tmp_path / cell.folder) == {}


@pytest.mark.slow
def test_a_sweep_runs_the_others_first(other, tmp_path):
    """Another process makes the samples of the first cell: the other two do not wait for it."""
    store, first = Store(tmp_path), make_cell(*CELL)
    go = other(stage_lock(first, store, "sample"))
    sweep = start("-m", *CELL[:-1], "method.num_steps=2,3,4", f"results_dir={tmp_path}")
    try:
        deadline = time.time() + 180
        while len(list(tmp_path.glob("runs/*/*/*/*/record.json"))) < 2:
            assert time.time() < deadline and sweep.poll() is None
            time.sleep(0.2)
        assert store.record(first.folder) is None
        go.set()
        out, _ = sweep.communicate(timeout=180)
    finally:
        sweep.kill()
        sweep.wait()
    assert sweep.returncode == 0 and store.record(first.folder)
    assert out.count("cell 1 of 3") >= 2  # it came again
