"""How a run that is asked to end is recorded."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from helpers import BRIEF, start

from fsig_bench.api.stopping import REQUEST, stop_if_asked
from fsig_bench.store.lock import Busy
from fsig_bench.store.status import read_status, record_status

TINY = [*BRIEF, "dataset=babies", "k=2", "dataset.n_ref=100", "suite.shard_size=4", "batch_size=2"]
TINY += ["figures.tsne_points=12", "controls=[]"]


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def stopped(folder, work):
    with pytest.raises(SystemExit) as end, record_status(folder, "typed"):
        terminate()
        work()
    assert not REQUEST.asked and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    return end.value.code


def test_a_run_that_is_asked_to_end_has_run_out_of_time(tmp_path):
    assert stopped(tmp_path, stop_if_asked) == 143
    kept = read_status(tmp_path)
    assert kept["status"] == "timeout" and kept["command"] == "typed"


def test_an_error_that_the_signal_caused_is_no_failure(tmp_path):
    """The scheduler signals the sampling processes too, and they may end first."""

    def broken():
        raise RuntimeError("2 of 2 sampling workers stopped")

    assert stopped(tmp_path, broken) == 143
    kept = read_status(tmp_path)
    assert kept["status"] == "timeout" and "sampling workers" in kept["trace"]


def test_a_run_that_finishes_at_that_moment_is_finished_and_the_process_ends(tmp_path):
    assert stopped(tmp_path, lambda: None) == 143
    assert read_status(tmp_path) == {}


def test_a_run_that_leaves_a_stage_to_another_process_is_pending(tmp_path):
    with pytest.raises(Busy), record_status(tmp_path, "typed"):
        raise Busy("adapt crdi: another process works on it (pid 7 on node7)")
    kept = read_status(tmp_path)
    assert kept["status"] == "pending" and "pid 7 on node7" in kept["error"]


def children_of(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_sampling_processes_end_with_the_run(tmp_path):
    words = [*TINY, "method=source", "num_images=4000", "method.num_steps=4", "workers=2"]
    process = start(*words, f"results_dir={tmp_path}")
    deadline = time.time() + 120
    while not list(tmp_path.glob("store/sample/*/*.safetensors")):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.1)
    workers = children_of(process.pid)
    assert len(workers) >= 2
    process.terminate()
    assert process.wait(30) == 143
    (folder,) = tmp_path.glob("runs/*/*/*/*")
    assert read_status(folder)["status"] == "timeout"
    deadline = time.time() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.time() < deadline, "a sampling process goes on"
        time.sleep(0.1)
