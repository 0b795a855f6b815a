"""Whole runs through the command line: files, repetition, kills, shards, bad input."""

import shutil
import signal
import subprocess
import time

import pytest
import torch
from helpers import BRIEF, ROOT, SWEEP, cli, command, make_cell, records, start

from fsig_bench.api import NoProgress
from fsig_bench.api.images import pixels_sha256, to_float
from fsig_bench.runner.build import build_method
from fsig_bench.runner.sample import make_shard, sample
from fsig_bench.runner.score import score
from fsig_bench.store.files import read_tensors, write_tensors
from fsig_bench.store.shared import SharedWork
from fsig_bench.store.store import Store

SMALL = ["dataset=babies", "k=3", "dataset.n_ref=100", "suite.shard_size=5", "num_images=15"]
SMALL += ["batch_size=5", "figures.tsne_points=20", "controls=[]", "method=crdi"]
SMALL += ["method.num_steps=12", "method.t_start=2", "method.t_end=8", "method.segments=6"]
SMALL += ["method.draws=2", "method.card.reconstruct_sweep=null"]
KEY = ("crdi", "babies", 15, 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    done = cli(*SMALL, f"results_dir={folder}")
    return folder, records(folder)[KEY], done.stdout


def test_a_run_leaves_what_it_promises(whole):
    folder, record, out = whole
    path = next(folder.glob("runs/mini/crdi/babies/k3-seed0-*"))
    assert path.name.endswith(record["run_id"])
    for picture in ("samples.png", "nearest.png", "tsne.png", "tsne.csv", "reconstruction.png"):
        assert (path / picture).stat().st_size > 500
    names = {"fd", "kid", "intra_lpips", "precision", "recall", "density", "coverage", "vendi"}
    names |= {"nearest_shot", "copy_rate", "factor_coverage", "source_leakage"}
    names |= {"authpct", "lpips_diversity", "sliced_w2", "spectrum", "rendering_residual"}
    names |= {"mmd", "clipped_density", "clipped_coverage", "fld_gap", "factor_distance"}
    assert set(record["metrics"]) == names
    assert record["metrics"]["spectrum"]["extractor"] == "pixels"
    for name, metric in record["metrics"].items():
        assert metric["value"] is not None
        assert metric["extractor"] == "faceworld-reader" or name == "spectrum"
        assert metric["n_fake"] == 15 and metric["n_real"] == 100
        assert metric["protocol_hash"] == record["protocol_hash"]
    assert set(record["timing_s"]) == {"adapt", "sample", "score"}
    assert record["nfe_per_image"] == 8 and record["nfe_adapt"] == 3 * 6 * 2
    assert record["trained_params"] == 3 * 6 * 3 * 64 * 64
    assert 0 < record["peak_mem_gib"] < 8
    assert str(ROOT) not in str(record["config"])
    assert "CRDI" in out and str(path) in out


def test_a_folder_named_like_markup_is_printed_whole(tmp_path):
    folder = tmp_path / "[bold] :cat:"
    words = [*BRIEF, "dataset=babies", "k=2", "dataset.n_ref=100", "num_images=4", "controls=[]"]
    out = cli(*words, "method=copy", "figures.tsne_points=12", f"results_dir={folder}").stdout
    path = next(folder.glob("runs/mini/copy/babies/*"))
    assert f"record {path / 'record.json'}" in out
    assert f"pictures and record: {path}" in out
    assert f"  {path / 'samples.png'}" in out


def test_a_second_run_does_nothing_and_says_the_same(whole):
    folder, _, out = whole
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    again = cli(*SMALL, f"results_dir={folder}")
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == stamps
    assert out[out.index("babies, 3 shots") :] == again.stdout


def test_more_images_reuse_the_shards(whole, tmp_path):
    folder, record, _ = whole
    shutil.copytree(folder, tmp_path / "r")
    shards = sorted((tmp_path / "r" / "store" / "sample").glob("*/*.safetensors"))
    stamps = [p.stat().st_mtime_ns for p in shards]
    cli(*SMALL, f"results_dir={tmp_path / 'r'}", "num_images=20")
    found = records(tmp_path / "r")
    assert [p.stat().st_mtime_ns for p in shards] == stamps
    more = found[("crdi", "babies", 20, 0)]
    assert more["timing_s"]["adapt"] == record["timing_s"]["adapt"]
    assert more["pixels_sha256"] != record["pixels_sha256"]


def test_exported_pngs_score_to_the_same_numbers(whole, tmp_path):
    folder, record, _ = whole
    shutil.copytree(folder, tmp_path / "r")
    out = cli(*SMALL, f"results_dir={tmp_path / 'r'}", "png=true").stdout
    png = next((tmp_path / "r").glob("runs/mini/crdi/babies/*/png"))
    assert "15 PNG files" in out and len(list(png.glob("*.png"))) == 15
    shared = [word for word in SMALL if not word.startswith("method")]
    cli(
        *shared, "method=from_folder", f"method.images.files={png}", f"results_dir={tmp_path / 'r'}"
    )
    again = records(tmp_path / "r")[("from_folder", "babies", 15, 0)]
    assert again["pixels_sha256"] == record["pixels_sha256"]
    assert again["metrics"] == record["metrics"]
    few = cli(
        *shared, "method=from_folder", f"method.images.files={png}", "num_images=16", check=False
    )
    assert few.returncode and "holds 15 images" in few.stderr + few.stdout


def test_workers_give_the_same_bytes(whole, tmp_path):
    folder, record, _ = whole
    shutil.copytree(folder / "store" / "adapt", tmp_path / "store" / "adapt")
    cli(*SMALL, *BRIEF, f"results_dir={tmp_path}", "workers=2")
    assert records(tmp_path)[KEY]["pixels_sha256"] == record["pixels_sha256"]


def kill_when(condition, *overrides):
    process = start(*overrides)
    deadline = time.time() + 120
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.time() < deadline
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_killed_while_adapting_it_continues_to_the_same_bytes(whole, tmp_path):
    checkpoint = tmp_path / "store" / "adapt"
    args = [*SMALL, *BRIEF, f"results_dir={tmp_path}", "checkpoint_s=0"]
    kill_when(lambda: list(checkpoint.glob("*/checkpoint.safetensors")), *args)
    assert not list(checkpoint.glob("*/state.safetensors")) and not records(tmp_path)
    out = cli(*args).stdout
    assert "continuing from the checkpoint" in out
    assert records(tmp_path)[KEY]["pixels_sha256"] == whole[1]["pixels_sha256"]


def test_killed_while_sampling_it_continues_to_the_same_bytes(whole, tmp_path):
    shards = tmp_path / "store" / "sample"
    args = [*SMALL, *BRIEF, f"results_dir={tmp_path}"]
    kill_when(lambda: list(shards.glob("*/0*.safetensors")), *args)
    first = {p: p.stat().st_mtime_ns for p in shards.glob("*/0*.safetensors")}
    assert 1 <= len(first) < 3 and not records(tmp_path)
    cli(*args)
    assert {p: p.stat().st_mtime_ns for p in first} == first
    assert records(tmp_path)[KEY]["pixels_sha256"] == whole[1]["pixels_sha256"]


def test_other_batch_sizes_change_rounding_only(whole, tmp_path):
    folder, record, _ = whole
    first = Store(folder)
    drawn = {}
    for size in (5, 1, 64):
        cell = make_cell(*SMALL, f"batch_size={size}", "device=cpu")
        store, method = Store(tmp_path / str(size)), build_method(cell.method, cell.place)
        state, _ = first.load_state(cell.adapt_key)
        drawn[size] = sample(cell, method, state, store)[0].int()
        gap = (drawn[size] - drawn[5]).abs()
        assert gap.max() <= 1 and (gap > 0).float().mean() <= 1e-3, size
    assert pixels_sha256(drawn[5].to(torch.uint8)) == record["pixels_sha256"]
    assert any(not torch.equal(drawn[5], other) for other in drawn.values())  # else: too small
    cell = make_cell(*SMALL, "batch_size=1", "device=cpu")
    values, _ = score(cell, drawn[1].to(torch.uint8), Store(tmp_path / "score"))
    for name, metric in record["metrics"].items():
        assert values[name]["value"] == pytest.approx(metric["value"], rel=2e-3, abs=1e-4), name


def test_a_damaged_shard_is_named(whole, tmp_path):
    shutil.copytree(whole[0] / "store", tmp_path / "store")
    shard = next((tmp_path / "store" / "sample").glob("*/000010-*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-100] ^= 4
    shard.write_bytes(bytes(data))
    done = cli(*SMALL, *BRIEF, f"results_dir={tmp_path}", check=False)
    assert done.returncode == 1 and shard.name in done.stderr and "delete it" in done.stderr
    shard.unlink()
    cli(*SMALL, *BRIEF, f"results_dir={tmp_path}")
    assert records(tmp_path)[KEY]["pixels_sha256"] == whole[1]["pixels_sha256"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["dataset=babies"], ["no method", "crdi", "rs_imle"]),
        (["method=copy"], ["no dataset", "babies", "folder"]),
        (["method=crdy", "dataset=babies"], ["crdy", "Did you mean crdi?"]),
        (["method=copy", "dataset=dogs"], ["babies", "sketches", "folder"]),
        (["method=copy", "dataset=babies", "k=500"], ["k=500", "100"]),
        (["method=copy", "dataset=babies", "k=0"], ["k=0"]),
        (["method=copy", "dataset=babies", "dataset.n_ref=5"], ["n_ref=5", "100"]),
        (["method=crdi", "dataset=babies", "method.ettta=3"], ["ettta"]),
        (["method=crdi", "dataset=babies", "method.t_end=40"], ["40"]),
        (["method=real", "dataset=folder", "dataset.path=tests"], ["real", "folder"]),
        (["method=copy", "dataset=folder", "dataset.path=nowhere"], ["nowhere"]),
        (["method=copy", "dataset=folder"], ["dataset.path=..."]),
        (["method=domainstudio", "dataset=babies", "method.group_size=1"], ["group_size=1"]),
        (["method=copy", "dataset=babies", "device=cuda:9"], ["cuda"]),
    ],
)
def test_bad_input_is_refused_with_the_value_and_the_remedy(overrides, words, tmp_path):
    done = cli(*overrides, f"results_dir={tmp_path}", "num_images=2", "controls=[]", check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert all(w in text for w in words), text
    assert "Traceback" not in text
    assert not list(tmp_path.glob("runs/**/record.json"))


def test_a_sweep_may_choose_methods_and_datasets(tmp_path):
    shared = ["controls=[]", "preflight=only", f"results_dir={tmp_path}"]
    by_hand = cli("-m", "method=copy,crdi", "dataset=babies,sketches", *shared)
    lines = by_hand.stdout.split()
    pairs = [(m, d) for m in ("copy", "crdi") for d in ("babies", "sketches")]
    assert [any(f"/{m}/{d}/" in w for w in lines) for m, d in pairs] == [True] * 4
    narrowed = cli("-m", "experiment=grid_main", "method=copy,real", "subset=0", *shared)
    assert narrowed.stdout.count("to do") == 2 * 6


def test_a_sweep_goes_on_after_a_failure_and_passes_over_what_is_finished(tmp_path):
    shared = [*SWEEP, f"results_dir={tmp_path}"]
    first = cli(*shared, "method=crdy,copy,real", check=False)
    assert first.returncode == 1
    assert "3 cells: 0 finished, 2 to run" in first.stdout
    assert "1 of 3 cells failed" in first.stdout and "no method 'crdy'" in first.stdout
    assert {key[0] for key in records(tmp_path)} == {"copy", "real"}
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    again = cli(*shared, "method=copy,real")
    assert "2 cells: 2 finished, 0 to run" in again.stdout and "sample" not in again.stdout
    more = cli(*shared, "method=copy,real", "seed=0,1", "preflight=only")
    assert "4 cells: 2 finished, 2 to run" in more.stdout
    assert more.stdout.count("done ") == 2 and more.stdout.count("to do ") == 2
    assert {p: p.stat().st_mtime_ns for p in times} == times
    # A cell whose controls are not all there is not finished.
    shared[shared.index("controls=[]")] = "controls=[copy,source]"
    partly = cli(*shared, "method=real", "preflight=only")
    assert "1 cells: 0 finished, 1 to run" in partly.stdout
    shared[shared.index("controls=[copy,source]")] = "controls=[copy]"
    assert "1 cells: 1 finished" in cli(*shared, "method=real", "preflight=only").stdout


def test_a_cell_that_breaks_while_running_is_named_at_the_end(tmp_path):
    shared = [*SWEEP, f"results_dir={tmp_path}"]
    done = cli(*shared, "method=copy,real", check=False)
    assert done.returncode == 0
    store = tmp_path / "store" / "sample"
    shard = next(store.rglob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-7])
    for record in tmp_path.rglob("record.json"):
        record.unlink()
    broken = cli(*shared, "method=copy,real", check=False)
    assert broken.returncode == 1 and "1 of 2 cells failed" in broken.stdout
    assert "is damaged" in broken.stdout and "delete it" in broken.stdout
    assert len(records(tmp_path)) == 1  # the other one ran to its end


def test_preflight_only_does_no_work(tmp_path):
    words = [w for w in SMALL if w != "controls=[]"]
    done = cli(*words, "preflight=only", f"results_dir={tmp_path}")
    assert done.stdout.count("to do: ") == 4 and "to adapt (36 network evaluations)" in done.stdout
    assert done.stdout.count("time     adapt 0 s") == 3 and "activations peaked at" in done.stdout
    assert not (tmp_path / "runs").exists() and not (tmp_path / "store").exists()


def test_help_is_quick_and_needs_no_torch():
    began = time.perf_counter()
    done = cli("--help", warm=False)
    assert time.perf_counter() - began < 2
    for word in ("method=", "babies", "crdi", "record.json", "-m"):
        assert word in done.stdout
    check = (
        "import sys, fsig_bench.__main__, fsig_bench.runner.cell; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([command()[0], "-c", check], cwd=ROOT).returncode == 0


def test_out_of_memory_halves_the_batch_and_says_so(tmp_path, capsys):
    cell = make_cell("method=copy", "dataset=babies", "device=cpu", "controls=[]", "batch_size=8")
    store, shots = Store(tmp_path), cell.dataset.shots(10, 0)
    asked = []

    def small(indices):
        asked.append(len(indices))
        if len(indices) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return to_float(shots[[i % 10 for i in indices]])

    make_shard(cell, small, store, 0, 10, SharedWork(store))
    images, _ = store.load_shard(cell.sample_key, 0, 10)
    assert torch.equal(images, shots) and asked == [8, 4, 2, 2, 2, 2, 2]
    assert "batches of 4 images from image 0" in capsys.readouterr().out

    def never(indices):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        make_shard(cell, never, store, 10, 20, SharedWork(store))
    assert not store.shard_path(cell.sample_key, 10, 20).exists()


def test_values_that_are_not_finite_name_the_images(tmp_path):
    cell = make_cell("method=copy", "dataset=babies", "device=cpu", "controls=[]", "batch_size=4")

    def broken(indices):
        return torch.full((len(indices), 3, 8, 8), float("nan"))

    with pytest.raises(ValueError, match=r"copy on babies, images 4 to 8: .*NaN"):
        make_shard(cell, broken, Store(tmp_path), 4, 8, SharedWork(Store(tmp_path)))


def test_a_shard_counts_shared_work_that_another_run_did(tmp_path):
    cell = make_cell("method=copy", "dataset=babies", "device=cpu", "controls=[]", "batch_size=4")
    store = Store(tmp_path)
    shared = SharedWork(store)
    shared(["proposals"], lambda: torch.zeros(4, 3, 8, 8))
    for path in (tmp_path / "store" / "shared").iterdir():
        tensors, metadata = read_tensors(path)
        del metadata["content"]
        write_tensors(path, tensors, metadata | {"wall_s": "50.000"})
    shared = SharedWork(store)

    def draw(indices):
        return shared(["proposals"], lambda: pytest.fail("it is there"))

    for first, expected in ((0, 50), (8, 100)):  # 4 images, then two batches of 4
        make_shard(cell, draw, store, first, first + expected // 12, shared)
        wall_s = store.load_shard(cell.sample_key, first, first + expected // 12)[1]
        assert wall_s == pytest.approx(expected, abs=5)


def test_two_images_are_two_and_more_are_drawn_as_if_at_once(tmp_path):
    """A shorter shard is named by its range; the whole one is drawn beside it, not continued."""
    words = ["method=source", "dataset=babies", "suite.shard_size=6", "batch_size=3", "controls=[]"]
    words += ["device=cpu", "dataset.n_ref=100", "method.num_steps=2", "num_images="]

    def drawn(root, count):
        cell, store = make_cell(*words[:-1], f"{words[-1]}{count}"), Store(root)
        method = build_method(cell.method, cell.place)
        state = method.adapt(torch.empty(0, 3, 64, 64), seed=0, progress=NoProgress())
        images, wall_s = sample(cell, method, state, store)
        files = sorted(p.stem for p in store.sample_folder(cell.sample_key).glob("*.safetensors"))
        assert len(images) == count and wall_s > 0
        return images, files

    two, files = drawn(tmp_path / "grown", 2)
    assert files == ["000000-000002"]
    eight, files = drawn(tmp_path / "grown", 8)
    assert files == ["000000-000002", "000000-000006", "000006-000008"]
    at_once, _ = drawn(tmp_path / "fresh", 8)
    assert torch.equal(eight, at_once)
    # Images 0 and 1 again, from the shorter shard; images 0 to 4 from the whole one.
    again, same = drawn(tmp_path / "grown", 2)
    assert torch.equal(again, two) and same == files
    five, same = drawn(tmp_path / "grown", 5)
    assert torch.equal(five, at_once[:5]) and same == files
    assert (two.int() - at_once[:2].int()).abs().max() <= 1  # a batch of two, not of three


def test_more_samples_than_a_metric_takes_are_refused_before_work():
    words = ["method=copy", "dataset=babies", "num_images=600"]
    limit = "+protocol.metrics.vendi.card.max_samples=500"
    with pytest.raises(ValueError, match=r"vendi takes at most 500 samples.*~protocol.metrics.ven"):
        make_cell(*words, limit)
    make_cell(*words, limit, "protocol.samples=500")


def test_more_pixels_than_memory_are_refused_before_work(monkeypatch):
    monkeypatch.setattr("fsig_bench.runner.checks.memory_gib", lambda: 1.0)
    with pytest.raises(ValueError, match=r"num_images=80000: 64 x 64 pixels take 0.9 GiB"):
        make_cell("method=copy", "dataset=babies", "num_images=80000")
