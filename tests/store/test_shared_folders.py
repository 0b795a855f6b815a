"""Two users in one results folder: what one makes, the other can continue."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
import torch
from helpers import BRIEF, make_cell

from fsig_bench.api.files import append_line, make_folder, write_json
from fsig_bench.runner.run import run
from fsig_bench.store.lock import is_held, locked
from fsig_bench.store.store import Store

CELL = [*BRIEF, "dataset=babies", "k=2", "dataset.n_ref=100", "suite.shard_size=4", "num_images=8"]
CELL += ["batch_size=4", "figures.tsne_points=12", "controls=[]"]
CELL += ["method=source", "method.num_steps=2"]
FIRST, SECOND, GROUP = 4001, 4002, 4100  # numbers are enough: nobody need have a name


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="module")
def cell():
    return make_cell(*CELL)


@pytest.mark.parametrize(("given", "group"), [(0o2775, True), (0o755, False), (0o1777, False)])
def test_all_that_a_run_leaves_follows_its_folder(given, group, umask, cell, tmp_path):
    root = tmp_path / "results"
    root.mkdir()
    root.chmod(given)
    run(cell, Store(root))
    made = [p for p in root.rglob("*") if not p.is_symlink()]
    assert {p.suffix for p in made} >= {".lock", ".safetensors", ".json", ".png"}
    for path in made:
        assert bool(mode(path) & stat.S_IWGRP) == group, path
        if path.is_dir():
            assert bool(mode(path) & stat.S_ISGID) == bool(given & stat.S_ISGID), path
        assert not mode(path) & stat.S_IWOTH, path


def test_other_files_of_the_store_follow_too(umask, tmp_path):
    tmp_path.chmod(0o2775)
    store = Store(tmp_path)
    store.shared(["bank"], lambda: torch.zeros(2))
    append_line(store.adapt_folder("a" * 64) / "curve.jsonl", "{}")
    append_line(store.adapt_folder("a" * 64) / "curve.jsonl", "{}")
    assert (store.adapt_folder("a" * 64) / "curve.jsonl").read_text() == "{}\n{}\n"
    with locked(store.lock_path("run-1"), what="x"):
        assert all(mode(p) & stat.S_IWGRP for p in tmp_path.rglob("*"))


@pytest.fixture
def shared_root():
    """A results folder of the first user, in a folder that every user can reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as two other users")
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    place.chmod(0o755)
    root = place / "results"
    root.mkdir()
    os.chown(root, FIRST, GROUP)
    yield root
    shutil.rmtree(place)


def as_user(uid, work):
    """Does `work` in a forked process of another user under umask 022; returns what it raised."""
    read, write = os.pipe()
    if pid := os.fork():
        os.close(write)
        with os.fdopen(read) as file:
            text = file.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code == (1 if text else 0), code
        return text
    try:
        os.umask(0o022)
        os.setgroups([GROUP])
        os.setegid(uid)
        os.seteuid(uid)
        work()
    except BaseException as error:
        os.write(write, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os._exit(0)


def test_a_second_user_continues_what_the_first_began(shared_root, cell):
    shared_root.chmod(0o2775)
    store = Store(shared_root)

    def work():
        with locked(store.lock_path("run-1"), what="x"):
            write_json(shared_root / "runs" / "a" / "status.json", {})
            append_line(shared_root / "store" / "adapt" / "k" / "curve.jsonl", "{}")

    for uid in (FIRST, SECOND, FIRST):
        assert as_user(uid, work) == ""
    assert (shared_root / "store/adapt/k/curve.jsonl").read_text().count("\n") == 3
    assert {p.stat().st_gid for p in shared_root.rglob("*")} == {GROUP}


def test_who_may_not_write_is_told_what_to_set(shared_root):
    shared_root.chmod(0o755)
    store = Store(shared_root)

    def lock():
        with locked(store.lock_path("run-1"), what="x"):
            pass

    assert as_user(FIRST, lock) == ""
    remedy = f"chmod -R g+ws {shared_root}"
    for work in (
        lock,
        lambda: write_json(shared_root / "runs" / "a" / "status.json", {}),
        lambda: make_folder(shared_root / "store" / "adapt"),
    ):
        raised = as_user(SECOND, work)
        assert raised.startswith("PermissionError: ") and remedy in raised, raised
        assert "umask 002" in raised and "Permission denied" in raised
    assert f"chmod -R g+ws {shared_root}" in as_user(SECOND, lambda: store.check_writable(1))
    # Looking is allowed.
    assert as_user(SECOND, lambda: 1 / (not is_held(store.lock_path("run-1")))) == ""
    with locked(store.lock_path("run-1"), what="x"):
        assert as_user(SECOND, lambda: 1 / is_held(store.lock_path("run-1"))) == ""
