"""Locks with flock and without: who holds them, who takes them over, and how they are freed."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import time

import pytest

from fsig_bench import runs
from fsig_bench.store import clock
from fsig_bench.store import holder as holders
from fsig_bench.store.holder import Holder, claim, holder_path, is_stale, read_sign
from fsig_bench.store.lock import Busy, is_held, locked
from fsig_bench.store.store import Store

FORK = multiprocessing.get_context("fork")


@pytest.fixture(params=["flock", "ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def file_system(request, monkeypatch):
    """A file system with flock, and three without, each with an error of its own."""
    if request.param != "flock":
        no_flock(monkeypatch, getattr(errno, request.param))
    return request.param


def no_flock(monkeypatch, number=errno.ENOLCK):
    def fail(fd, flags):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)


def fast(monkeypatch):
    """Heartbeats of 50 ms, and all that is measured in heartbeats."""
    monkeypatch.setattr(clock, "HEARTBEAT_S", 0.05)
    for name, beats in (("SILENT_S", 4), ("STALE_S", 8), ("WATCH_S", 2)):
        monkeypatch.setattr(holders, name, beats * 0.05)


def of_another_machine(path, **changes):
    """Rewrites a holder's file as if another machine had written it."""
    held = json.loads(path.read_text()) | {"host": "node7", "mark": "other/1/2/3", **changes}
    path.write_text(json.dumps(held) + "\n")


def hold(path, ready, go):
    with locked(path, what="child"):
        ready.set()
        go.wait(60)


@pytest.fixture
def child(tmp_path):
    """A forked process that holds a lock, which sees what the test has patched."""
    started = []

    def start(path):
        ready, go = FORK.Event(), FORK.Event()
        process = FORK.Process(target=hold, args=(path, ready, go))
        process.start()
        started.append(process)
        assert ready.wait(30)
        return process, go

    yield start
    for process in started:
        process.kill()
        process.join()


def test_one_holder_at_a_time_and_none_after_it(file_system, tmp_path, child):
    path = tmp_path / "a.lock"
    process, go = child(path)
    assert is_held(path)
    with pytest.raises(Busy) as raised, locked(path, what="this", wait=False):
        pass
    assert f"pid {process.pid} on " in str(raised.value) and "last heartbeat" in str(raised.value)
    go.set()
    process.join()
    assert not is_held(path) and not holder_path(path).exists()
    with locked(path, what="this", wait=False):
        assert is_held(path)
    assert not is_held(path)


def test_the_dead_of_this_machine_hold_nothing(file_system, tmp_path, child):
    path = tmp_path / "a.lock"
    process, _ = child(path)
    process.kill()
    process.join()
    assert holder_path(path).exists()  # it had no time to remove it
    assert not is_held(path)
    with locked(path, what="this", wait=False):
        assert json.loads(holder_path(path).read_text())["pid"] == os.getpid()


def test_a_process_that_only_looks_makes_nobody_wait(tmp_path):
    path = tmp_path / "a.lock"
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        signal.signal(signal.SIGALRM, lambda *a: fcntl.flock(file, fcntl.LOCK_UN))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with locked(path, what="this", wait=False):
            pass
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_the_silent_of_another_machine_are_watched_before_they_lose_it(tmp_path, monkeypatch):
    no_flock(monkeypatch)
    path = tmp_path / "a.lock"
    with locked(path, what="x"):
        kept = holder_path(path).read_bytes()
    holder_path(path).write_bytes(kept)
    of_another_machine(holder_path(path))
    long_ago = time.time() - 10 * holders.STALE_S
    os.utime(holder_path(path), (long_ago, long_ago))
    with pytest.raises(Busy, match="on node7 .*last heartbeat 20 min ago"):
        with locked(path, what="this", wait=False):
            pass
    monkeypatch.setattr(holders, "WATCH_S", 0.3)
    began = time.monotonic()
    with locked(path, what="this"):
        assert json.loads(holder_path(path).read_text())["pid"] == os.getpid()
    assert time.monotonic() - began >= 0.2


def test_a_clock_that_jumps_takes_no_lock_from_who_beats(tmp_path, monkeypatch, child):
    """The file system's clock jumps forward by a day: the holder's next heartbeat is seen."""
    no_flock(monkeypatch)
    fast(monkeypatch)
    path = tmp_path / "a.lock"
    process, go = child(path)
    of = holder_path(path)
    held = json.loads(of.read_text())
    monkeypatch.setattr(holders, "file_system_now", lambda folder: time.time_ns() + 86400 * 10**9)
    monkeypatch.setattr(Holder, "is_dead", lambda self: False)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        with pytest.raises(Busy), locked(path, what="this", wait=False):
            pass
        time.sleep(0.01)
    assert json.loads(of.read_text()) == held
    os.kill(process.pid, signal.SIGSTOP)  # now it is silent
    with locked(path, what="this"):
        assert json.loads(of.read_text())["pid"] == os.getpid()
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.3)
        assert json.loads(of.read_text())["pid"] == os.getpid()  # not touched, not removed
        go.set()
        process.join()
        assert json.loads(of.read_text())["pid"] == os.getpid()


def race(path, start, won, n):
    start.wait()

    def is_old(path, sign):
        return sign.holder is not None and sign.holder.host == "node7"

    if claim(path, Holder.this_process(by="file"), is_old):
        won.put(n)


@pytest.mark.parametrize("died_on_the_way", [False, True])
def test_of_many_that_find_a_stale_lock_one_takes_it(tmp_path, died_on_the_way):
    for turn in range(8):
        path = tmp_path / f"{turn}.lock.holder"
        dead = Holder.this_process(by="file")
        assert claim(path, dead, is_stale)
        of_another_machine(path)
        if died_on_the_way:  # another one began to take over, and died
            after = path.with_name(f"{path.name}.after-{read_sign(path).token}")
            after.write_bytes(path.read_bytes())
        barrier, won = FORK.Barrier(4), FORK.Queue()
        racers = [FORK.Process(target=race, args=(path, barrier, won, n)) for n in range(4)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
            assert racer.exitcode == 0
        winner = won.get(timeout=5)
        assert won.empty()
        assert json.loads(path.read_text())["pid"] == racers[winner].pid
        assert [p.name for p in tmp_path.glob(f"{turn}.*")] == [path.name]


def test_who_comes_late_does_not_take_what_was_taken_over(tmp_path, monkeypatch):
    """A second process finds the lock stale, and acts after the first has taken it over."""
    path = tmp_path / "a.lock.holder"
    assert claim(path, Holder.this_process(by="file"), is_stale)
    of_another_machine(path)
    first = Holder.this_process(by="file")

    def stale_but_slow(p, sign):
        assert claim(path, first, lambda p, s: True)
        return True

    assert not claim(path, Holder.this_process(by="file"), stale_but_slow)
    assert path.read_bytes() == first.encoded()


def test_processes_with_and_without_flock_exclude_each_other(tmp_path, monkeypatch):
    path = tmp_path / "a.lock"
    with locked(path, what="with"):
        with monkeypatch.context() as m:
            no_flock(m)  # the server of locks does not answer this one
            with pytest.raises(Busy), locked(path, what="without", wait=False):
                pass
    with monkeypatch.context() as m:
        no_flock(m)
        without = locked(path, what="without")
        without.__enter__()
    with pytest.raises(Busy), locked(path, what="with", wait=False):
        pass
    assert is_held(path)
    without.__exit__(None, None, None)
    with locked(path, what="with", wait=False):
        pass


def test_a_waiter_says_for_whom_and_when_that_falls_silent(tmp_path, monkeypatch, capsys, child):
    fast(monkeypatch)
    path = Store(tmp_path).lock_path("run-1")
    process, go = child(path)
    os.kill(process.pid, signal.SIGSTOP)
    signal.signal(signal.SIGALRM, lambda *a: (os.kill(process.pid, signal.SIGCONT), go.set()))
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    with locked(path, what="copy on babies"):
        pass
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"copy on babies: another process works on it (pid {process.pid} on ")
    assert "waiting until it ends" in first
    assert f"fsig-bench runs unlock run-1 results_dir={tmp_path}" in last


def test_runs_shows_who_fell_silent(tmp_path, child):
    store, name = Store(tmp_path), "runs/mini/copy/babies/k10-seed0-0123456789"
    (tmp_path / name).mkdir(parents=True)
    owner, _ = child(store.lock_path("run-0123456789"))
    (found,) = runs.found_runs(store)
    assert found.status == "running" and "since " in found.reason
    old = time.time() - 600
    os.utime(holder_path(store.lock_path("run-0123456789")), (old, old))
    (found,) = runs.found_runs(store)
    assert found.status == "silent"
    assert found.reason.startswith(f"no heartbeat for 10 min: pid {owner.pid} on ")
    assert "silent " in runs.listing([found])[0]
    owner.kill()
    owner.join()
    (found,) = runs.found_runs(store)
    assert found.status == "killed"


def test_a_lock_is_freed_by_hand(file_system, tmp_path, child, capsys):
    store, place = Store(tmp_path), f"results_dir={tmp_path}"
    path = store.lock_path("run-0123456789")
    process, go = child(path)
    assert runs.main(["unlock", place]) == 0
    out = capsys.readouterr().out
    assert f"run-0123456789: held by pid {process.pid} on " in out and "1 locks are held" in out
    with pytest.raises(ValueError, match=rf"held by pid {process.pid} .*still works.*yes=true"):
        runs.main(["unlock", "run-0123456789", place])
    assert is_held(path)
    with pytest.raises(ValueError, match=r"no lock run-1 .*held are: run-0123456789"):
        runs.main(["unlock", "run-1", place])
    with pytest.raises(ValueError, match="no lock"):
        runs.main(["unlock", "../../x", place])
    old = time.time() - 600
    os.utime(holder_path(path), (old, old))  # silent for ten minutes
    assert runs.main(["unlock", "run-0123456789", place]) == 0
    assert f"freed; it was held by pid {process.pid}" in capsys.readouterr().out
    assert not is_held(path)
    with locked(path, what="this", wait=False):
        go.set()
        process.join()  # its end frees nothing that is not its own any more
        assert is_held(path)
    assert runs.main(["unlock", "run-0123456789", place]) == 0
    assert "nobody holds it" in capsys.readouterr().out


def test_a_lock_that_was_freed_under_its_holder_is_reported(tmp_path, monkeypatch, capsys):
    fast(monkeypatch)
    path = Store(tmp_path).lock_path("run-1")
    with locked(path, what="copy on babies"):
        runs.main(["unlock", "run-1", "yes=true", f"results_dir={tmp_path}"])
        deadline = time.monotonic() + 5
        out = capsys.readouterr().out
        while "its lock was freed" not in out and time.monotonic() < deadline:
            time.sleep(0.05)
            out += capsys.readouterr().out
    assert "copy on babies: this process" in out and "(nobody holds it now)" in out
