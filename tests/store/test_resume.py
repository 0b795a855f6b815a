"""Sweeps that finish: one writer at a time, statuses, damage, disks that fill, odd clocks."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import BRIEF, ROOT, cli, make_cell, records, start
from safetensors.torch import save_file

from fsig_bench import runs
from fsig_bench.runner.run import run
from fsig_bench.store.files import read_tensors
from fsig_bench.store.lock import Busy, is_held, locked
from fsig_bench.store.maintenance import damaged_files
from fsig_bench.store.records import read_record, write_record
from fsig_bench.store.status import read_status
from fsig_bench.store.store import Store
from fsig_bench.sweep.plan_cache import PlanCache

TINY = [*BRIEF, "dataset=babies", "k=2", "dataset.n_ref=100", "suite.shard_size=4", "num_images=8"]
TINY += ["batch_size=4", "figures.tsne_points=12", "controls=[]"]
FOLDERS = [f"file://{ROOT / 'tests' / 'conf'}"]  # of TINY
DRAWN = [*TINY, "method=source", "method.num_steps=2"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("whole")
    record, there = run(make_cell(*DRAWN), Store(folder))
    assert not there
    return folder, record


@pytest.fixture
def copied(whole, tmp_path):
    """The same, in another place."""
    shutil.copytree(whole[0], tmp_path / "moved")
    return tmp_path / "moved"


HOLD = """
import sys, time
from pathlib import Path
from fsig_bench.store.lock import locked
with locked(Path(sys.argv[1]), what="test"):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process.stdout:
        assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_anothers_until_its_owner_dies(tmp_path):
    path = tmp_path / "a.lock"
    owner = holder(path)
    assert is_held(path)
    with pytest.raises(Busy, match="another process"), locked(path, what="this", wait=False):
        pass
    os.kill(owner.pid, signal.SIGKILL)
    began = time.perf_counter()
    with locked(path, what="this"):
        assert time.perf_counter() - began < 5 and is_held(path)
    owner.wait()
    assert not is_held(path)


def test_a_run_that_another_process_is_at_is_left_to_it(tmp_path):
    cell, store = make_cell(*DRAWN), Store(tmp_path)
    owner = holder(store.lock_path(f"run-{cell.run_id}"))
    try:
        with pytest.raises(Busy):
            run(cell, store, wait=False)
        assert not store.record(cell.folder)
        (tmp_path / cell.folder).mkdir(parents=True)
        (found,) = runs.found_runs(store)
        assert found.status == "running"
    finally:
        owner.kill()
        owner.wait()
    assert run(cell, store, wait=False)[0]["run_id"] == cell.run_id


def test_a_sweep_comes_back_to_what_was_busy(tmp_path):
    words = [*TINY, f"results_dir={tmp_path}", "method=source", "method.num_steps=2"]
    cell = make_cell(*words, "seed=0")
    owner = holder(Store(tmp_path).lock_path(f"run-{cell.run_id}"))
    sweep = start("-m", *words, "seed=0,1")
    deadline = time.time() + 120
    while len(records(tmp_path)) < 1 and time.time() < deadline:
        time.sleep(0.1)
    assert [key[3] for key in records(tmp_path)] == [1]  # the other one, first
    assert sweep.poll() is None
    owner.kill()
    owner.wait()
    out, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0 and len(records(tmp_path)) == 2
    assert "2 cells: 0 finished, 2 to run" in out


def test_statuses_tell_how_runs_ended(tmp_path, monkeypatch):
    cell, store = make_cell(*DRAWN), Store(tmp_path)
    folder = tmp_path / cell.folder
    with monkeypatch.context() as m:
        m.setattr("fsig_bench.runner.run.score", lambda *a: (_ for _ in ()).throw(ValueError("no")))
        with pytest.raises(ValueError, match="no"):
            run(cell, store)
    kept = read_status(folder)
    assert kept["status"] == "failed" and kept["error"] == "no" and "ValueError" in kept["trace"]
    assert runs.read_run(folder, store).status == "failed"
    slow = [*TINY, "method=source", "method.num_steps=400", f"results_dir={tmp_path}"]
    process = start(*slow)
    deadline = time.time() + 60
    while not any(r.status == "running" for r in runs.found_runs(store)):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == 143
    assert sorted(r.status for r in runs.found_runs(store)) == ["failed", "timeout"]
    run(cell, store)
    assert runs.read_run(folder, store).status == "done" and not (folder / "status.json").exists()


def test_failed_cells_are_skipped_or_tried_again(tmp_path):
    words = [*TINY, "method=source", f"results_dir={tmp_path}"]
    words += ["method.num_steps=2,1"]  # one step is refused while running, not before
    first = cli("-m", *words, check=False)
    assert first.returncode == 1 and "1 of 2 cells failed" in first.stdout
    skipped = cli("-m", *words, "on_failed=skip", check=False)
    assert skipped.returncode == 1 and skipped.stdout.count("failed before") == 1
    assert len(records(tmp_path)) == 1
    listed = cli("runs", f"results_dir={tmp_path}", "status=failed").stdout
    assert listed.count("sampling steps asked for") == 1 and "1 runs: 1 failed" in listed


def test_a_dry_run_tells_costs_and_does_nothing(whole, copied):
    words = [*TINY, "method=source", "method.num_steps=2", f"results_dir={copied}"]
    before = sorted(copied.rglob("*.safetensors"))
    out = cli("-m", *words, "seed=0,1", "dry_run=true").stdout
    assert "k=2 seed=0, 8 images: done" in out and "k=2 seed=1, 8 images: to do, about" in out
    assert "2 runs: 1 done, 1 to do" in out and sorted(copied.rglob("*.safetensors")) == before
    assert "1 runs: 1 done" in cli(*words, "dry_run=true").stdout


def test_finished_cells_cost_no_composition(whole, copied, monkeypatch):
    words = [*TINY, "method=source", "method.num_steps=2", f"results_dir={copied}", "seed=0,7"]
    first, second = (cli("-m", *words, "dry_run=true").stdout for _ in range(2))
    assert first == second
    assert len(PlanCache(copied, FOLDERS).known) == 2
    monkeypatch.setattr("fsig_bench.sweep.plan_cache.source_stamp", lambda _: "a change of conf/")
    assert PlanCache(copied, FOLDERS).known == {}


def test_a_change_in_a_folder_of_ones_own_makes_plans_anew(tmp_path):
    own = tmp_path / "own"
    (own / "experiment").mkdir(parents=True)
    mine = own / "experiment" / "mine.yaml"

    def planned(count):
        mine.write_text(f"# @package _global_\nnum_images: {count}\n")
        folders = f"hydra.searchpath=[{FOLDERS[0]},file://{own}]"
        words = [folders, *(w for w in TINY[1:] if w != "num_images=8"), "experiment=mine"]
        words += ["method=source", f"results_dir={tmp_path}", "seed=0,1"]
        return cli("-m", *words, "dry_run=true").stdout

    first = planned(8)
    assert planned(8) == first != planned(16)


def flip(path, rng):
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def test_a_hundred_flipped_bits_are_all_found_and_named(copied):
    store = Store(copied)
    # A checkpoint too, as a killed adaptation leaves it.
    files = sorted([*copied.rglob("*.safetensors"), *copied.rglob("record.json")])
    kinds = {p.parent.parent.name if p.suffix == ".safetensors" else "record" for p in files}
    assert {"adapt", "sample", "record"} <= kinds and any("features" in str(p) for p in files)
    assert not list(damaged_files(store))
    rng = random.Random(0)
    for n in range(100):
        path = files[n % len(files)]
        kept = path.read_bytes()
        flip(path, rng)
        assert [p for p, _ in damaged_pieces_of(path)] == [path], f"{path} at flip {n}"
        path.write_bytes(kept)
    flip(files[0], rng)
    assert files[0] in [p for p, _ in damaged_files(store)]


def damaged_pieces_of(path):
    """What reading one file says."""
    try:
        (read_record if path.name == "record.json" else read_tensors)(path)
    except ValueError as error:
        assert str(path) in str(error) and "run the same command again" in str(error)
        return [(path, str(error))]
    return []


def test_what_is_damaged_is_removed_and_made_anew_on_request(copied, whole, capsys):
    cell, store = make_cell(*DRAWN), Store(copied)
    shard = next((copied / "store" / "sample").rglob("*.safetensors"))
    record = copied / cell.folder / "record.json"
    flip(shard, random.Random(1))
    record.write_text(record.read_text().replace('"k": 2', '"k": 3'))
    assert runs.main(["verify", f"results_dir={copied}"]) == 1
    out = capsys.readouterr().out
    assert str(shard) in out and str(record) in out and "2 damaged pieces" in out
    assert runs.read_run(record.parent, store).status == "damaged"
    assert runs.main(["verify", f"results_dir={copied}", "remove=true"]) == 0
    again, there = run(cell, store)
    assert not there and again["pixels_sha256"] == whole[1]["pixels_sha256"]
    assert again["metrics"] == whole[1]["metrics"]
    capsys.readouterr()
    assert runs.main(["verify", f"results_dir={copied}"]) == 0
    assert "all pieces are whole" in capsys.readouterr().out


def test_shards_of_other_pixels_do_not_pass_for_the_scored_ones(copied):
    path = next((copied / "store" / "sample").rglob("*.safetensors"))
    tensors, metadata = read_tensors(path)
    from fsig_bench.store.files import write_tensors

    write_tensors(path, {"images": 255 - tensors["images"]}, {"wall_s": metadata["wall_s"]})
    ((record, what),) = damaged_files(Store(copied))
    assert record.name == "record.json" and "other pixels" in what


def test_a_store_moved_elsewhere_is_reused(copied, whole):
    record, there = run(make_cell(*DRAWN), Store(copied))
    assert there and record == whole[1]


def test_records_and_files_of_version_1_are_read(copied):
    path = next(copied.rglob("record.json"))
    old = json.loads(path.read_text())
    del old["seal"], old["record_version"]
    path.write_text(json.dumps(old, indent=2))
    del old["draw"]
    path.write_text(json.dumps(old, indent=2))
    found = read_record(path)
    assert found["run_id"] == old["run_id"] and found["draw"] == old["seed"]
    path.write_text(json.dumps(old | {"record_version": 2}))  # a seal that was cut off
    with pytest.raises(ValueError, match="damaged or was edited"):
        read_record(path)
    shard = next((copied / "store" / "sample").rglob("*.safetensors"))
    tensors, metadata = read_tensors(shard)
    old_keys = {k: v for k, v in metadata.items() if k in ("content", "wall_s")}
    save_file(tensors, shard, old_keys)  # without a seal
    assert torch.equal(read_tensors(shard)[0]["images"], tensors["images"])
    save_file(tensors, shard, metadata | {"sebl": "x"})
    with pytest.raises(ValueError, match="damaged"):
        read_tensors(shard)
    write_record(path, old)
    assert read_record(path)["seal"]


def test_a_clock_that_jumps_back_does_no_harm(tmp_path, monkeypatch):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 10**9)
    cell, store = make_cell(*DRAWN), Store(tmp_path)
    record, _ = run(cell, store)
    assert all(v >= 0 for v in record["timing_s"].values())
    path = tmp_path / cell.folder / "record.json"
    os.utime(path, (10**9, 10**9))
    assert run(cell, store)[1]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_loses_nothing(small_disk, monkeypatch, whole):
    cell, store = make_cell(*DRAWN), Store(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (3 * 2**20 - 120 * 2**10))
    with pytest.raises(OSError, match="No space left"):
        run(cell, store)
    kept = sorted(p.name for p in small_disk.rglob("*.safetensors"))
    assert kept and not list(small_disk.rglob("record.json"))  # what fitted is there, and whole
    assert not list(damaged_files(store)) and not list(small_disk.rglob("*.tmp"))
    ballast.unlink()
    assert run(cell, store)[0]["pixels_sha256"] == whole[1]["pixels_sha256"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where it likes")
def test_permission_lost_on_the_way_is_said(tmp_path, whole):
    cell, store = make_cell(*DRAWN), Store(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o500)
    with pytest.raises(OSError, match="Permission"):
        run(cell, store)
    (tmp_path / "store").chmod(0o700)
    assert run(cell, store)[0]["pixels_sha256"] == whole[1]["pixels_sha256"]


def test_why_a_run_is_not_reused(copied, capsys):
    words = [w for w in DRAWN if not w.startswith("controls")]
    assert runs.main(["why", *DRAWN, f"results_dir={copied}"]) == 0
    assert "reused: " in capsys.readouterr().out
    runs.main(["why", *words, "method.num_steps=3", "seed=4", f"results_dir={copied}"])
    out = capsys.readouterr().out
    assert "method.num_steps: 3 asked, 2 there" in out and "seed: 4 asked, 0 there" in out
    runs.main(["why", *words, "num_images=4", f"results_dir={copied}"])
    out = capsys.readouterr().out
    assert "adapt and sample would be reused" in out and "num_images: 4 asked, 8 there" in out


def test_prune_keeps_what_records_need(copied, capsys):
    run(make_cell(*DRAWN), Store(copied))
    orphan = copied / "store" / "adapt" / "0123456789abcdef" / "checkpoint.safetensors"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x" * 100)
    litter = copied / "store" / ".x.1.tmp"
    litter.write_text("")
    needed = {*copied.rglob("*.safetensors")} - {orphan}
    runs.main(["prune", f"results_dir={copied}"])
    assert "2 pieces that no record needs (a dry run" in capsys.readouterr().out
    assert orphan.exists() and litter.exists()
    runs.main(["prune", "yes=true", f"results_dir={copied}"])
    assert not orphan.exists() and not litter.exists()
    assert {*copied.rglob("*.safetensors")} == needed


def test_shared_work_is_given_up_on_request_alone(tmp_path, capsys):
    store = Store(tmp_path)
    for name in ("a", "b"):
        store.shared([name], lambda: torch.zeros(2))
    kept, busy = sorted((tmp_path / "store" / "shared").iterdir())
    runs.main(["prune", "yes=true", f"results_dir={tmp_path}"])
    runs.main(["prune", "shared=true", f"results_dir={tmp_path}"])
    assert "2 pieces that no record needs (a dry run" in capsys.readouterr().out
    assert kept.exists() and busy.exists()
    with store.locked(f"shared-{busy.stem}", what="test"):
        runs.main(["prune", "yes=true", "shared=true", f"results_dir={tmp_path}"])
    assert busy.exists() and not kept.exists()


def test_two_thousand_records_are_listed_and_tabled_quickly(whole, tmp_path):
    from fsig_bench.report.markdown import table
    from fsig_bench.report.records import load

    record = {k: v for k, v in whole[1].items() if k != "seal"}
    for n in range(2_000):
        method, seed = f"m{n % 20}", n // 20
        own = record | {"run_id": f"{n:010x}", "seed": seed, "method": method}
        folder = tmp_path / "runs" / "mini" / method / "babies" / f"k2-seed{seed}-{n:010x}"
        write_fast(folder / "record.json", own)
    began = time.perf_counter()
    found = runs.found_runs(Store(tmp_path))
    assert len(runs.listing(found)) == 2_001 and {r.status for r in found} == {"done"}
    listed_s = time.perf_counter() - began
    began = time.perf_counter()
    assert table(load([tmp_path / "runs"]), "fd").count("\n") == 21  # twenty methods
    tabled_s = time.perf_counter() - began
    # About 2 s each on an idle core; tests/bench/many_records.py measures 20,000.
    assert listed_s < 8 and tabled_s < 8, (listed_s, tabled_s)


def write_fast(path: Path, record):
    """As `write_record`, without waiting for the disk two thousand times."""
    from fsig_bench.store.files import seal

    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record | {"seal": seal(record)}, indent=2) + "\n")


@pytest.mark.slow
def test_kills_and_crowds_lose_nothing_and_make_everything_once():
    script = [sys.executable, "tests/bench/kills.py", "3", "2", "4"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills over " in done.stdout and "nothing lost" in done.stdout
    # Two crowds, with flock and without: four runs of four states, and two shards each.
    assert done.stdout.count("| 16 pieces | 0 made twice, 0 lost, 0 damaged, 0 errors |") == 2
