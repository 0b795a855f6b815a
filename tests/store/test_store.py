import json
import os
from types import SimpleNamespace

import pytest
import torch
from helpers import make_cell
from report_records import record

from fsig_bench import runs
from fsig_bench.api.types import State
from fsig_bench.api.weights import record_in_manifest, verified, write_safetensors
from fsig_bench.console import Bar
from fsig_bench.runner.keys import key_content, weight_files
from fsig_bench.runner.progress import StageProgress
from fsig_bench.store.files import read_tensors, write_tensors
from fsig_bench.store.keys import digest
from fsig_bench.store.records import write_record
from fsig_bench.store.shared import SharedWork
from fsig_bench.store.store import Store, other_results, parse_run_folder, run_folder_name


def test_state_survives_the_store(tmp_path):
    state = State(
        tensors={"a": torch.randn(2, 3)},
        seed=7,
        trained_params=6,
        nfe_adapt=12,
        meta={"note": [1, "x"]},
    )
    store = Store(tmp_path)
    assert store.load_state("key") is None
    store.save_state("key", state, 1.25)
    found, wall_s = store.load_state("key")
    assert torch.equal(found.tensors["a"], state.tensors["a"])
    assert (found.seed, found.nfe_adapt, found.meta) == (7, 12, {"note": [1, "x"]})
    assert wall_s == 1.25


def test_every_flipped_byte_of_a_shard_is_found_and_named(tmp_path):
    store = Store(tmp_path)
    store.save_shard("key", 0, torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8), 0.5)
    path = store.shard_path("key", 0, 4)
    good = path.read_bytes()
    for position in (0, 9, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[position] ^= 1
        path.write_bytes(bytes(bad))
        with pytest.raises(ValueError, match="000000-000004.*delete it"):
            store.load_shard("key", 0, 4)
    path.write_bytes(good[:-10])
    with pytest.raises(ValueError, match="damaged"):
        store.load_shard("key", 0, 4)
    path.write_bytes(good)
    assert store.load_shard("key", 0, 4)[1] == 0.5


def test_a_record_that_cannot_be_read_back_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_record(tmp_path / "record.json", record("fd", 1.0) | {"method": "a/b"})
    assert not (tmp_path / "record.json").exists()


def test_writes_are_atomic_and_leave_no_litter(tmp_path):
    write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(3)}, {})
    with pytest.raises(AttributeError):
        write_tensors(tmp_path / "x.safetensors", {"a": "not a tensor"}, {})
    assert torch.equal(read_tensors(tmp_path / "x.safetensors")[0]["a"], torch.zeros(3))
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_features_are_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return torch.ones(2)

    for _ in range(3):
        assert torch.equal(Store(tmp_path).cached_features("k" * 64, compute), torch.ones(2))
    assert calls == [1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="results_dir"):
        Store(tmp_path / "r").check_writable(1)


def test_a_results_dir_that_cannot_be_a_folder_and_a_full_disk_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"results_dir=.*results_dir=FOLDER"):
        Store(tmp_path / "file").check_writable(1)
    with pytest.raises(OSError, match="MiB free and this run needs"):
        Store(tmp_path).check_writable(2**62)


def test_weights_are_believed_only_with_their_sha256(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {"a": torch.arange(5.0)}, {})
    record_in_manifest(path, {"command": "make it again"})
    assert verified(str(path)) == path
    data = bytearray(path.read_bytes())
    data[-1] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"w\.safetensors are corrupt.*make it again"):
        verified(str(path))
    path.unlink()
    with pytest.raises(FileNotFoundError, match="make it again"):
        verified(str(path))
    (tmp_path / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(FileNotFoundError, match="are not among"):
        verified(str(path))


def test_keys_ignore_order_and_place_but_not_values(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {"a": torch.zeros(1)}, {})
    record_in_manifest(path, {"command": "x"})
    a = {"x": 1, "source": {"weights": str(path), "device": "cpu"}, "card": {"label": "A"}}
    b = {"card": {"label": "B"}, "source": {"device": "cuda", "weights": str(path)}, "x": 1}
    assert digest(key_content(a)) == digest(key_content(b))
    assert digest(key_content(a)) != digest(key_content(a | {"x": 2}))
    assert weight_files(a) == [str(path)]
    before = digest(key_content(a))
    write_safetensors(path, {"a": torch.ones(1)}, {})
    record_in_manifest(path, {"command": "x"})
    assert digest(key_content(a)) != before


def test_shared_work_is_done_once_and_keeps_its_cost(tmp_path):
    store, calls = Store(tmp_path), []

    def compute():
        calls.append(1)
        return torch.arange(3.0)

    key = SharedWork(store).full_key(["bank", 1])
    first, wall_s = store.shared(key, compute)
    again, same_s = Store(tmp_path).shared(key, compute)
    assert torch.equal(first, again) and len(calls) == 1 and wall_s == same_s >= 0
    store.shared(["bank", 2], compute)
    assert len(calls) == 2
    for path in (tmp_path / "store" / "shared").iterdir():
        tensors, metadata = read_tensors(path)
        del metadata["content"]
        write_tensors(path, tensors, metadata | {"wall_s": "100.000"})
    progress = StageProgress(store, "a" * 64, Bar("adapt", 1, "steps"), 10)
    progress.shared(["bank", 1], compute)
    assert progress.wall_s == pytest.approx(100, abs=5)  # what it cost where it was made
    assert len(calls) == 2


@pytest.mark.parametrize(("takes_s", "written_at"), [(0, [10, 20, 30, 40]), (3, [10, 43])])
def test_checkpoints_leave_most_of_the_time_to_the_work(takes_s, written_at, tmp_path, monkeypatch):
    now, seen = [0.0], []

    def write(path, tensors, metadata):
        seen.append(round(now[0]))
        now[0] += takes_s

    monkeypatch.setattr(
        "fsig_bench.runner.progress.time", SimpleNamespace(perf_counter=lambda: now[0])
    )
    monkeypatch.setattr("fsig_bench.store.files.write_tensors", write)
    progress = StageProgress(Store(tmp_path), "a" * 64, Bar("adapt", 1, "steps"), 10)
    while now[0] < 45:
        now[0] += 1
        progress.save(1, {})
    assert seen == written_at


def test_a_run_folder_is_named_and_read_back_in_one_place(tmp_path):
    cell = make_cell("method=copy", "dataset=babies", "seed=7")
    name = run_folder_name(cell.identity, cell.run_id)
    assert name == cell.folder
    assert parse_run_folder(tmp_path / name) == {
        "suite": "mini",
        "method": "copy",
        "dataset": "babies",
        "k": "10",
        "seed": "7",
        "run_id": cell.run_id,
    }
    store, record = Store(tmp_path), {**cell.identity, "run_id": cell.run_id}
    assert store.run_folder(record) is None
    (tmp_path / name).mkdir(parents=True)
    assert store.run_folder(record) == tmp_path / name


@pytest.mark.parametrize("part", ["..", "a/b", "/etc", "", "a b"])
def test_a_record_leads_nowhere_out_of_its_results(part, tmp_path):
    record = {"suite": "mini", "method": part, "dataset": "d", "k": 1, "seed": 0, "run_id": "r"}
    if not part.startswith("/"):
        (tmp_path / run_folder_name(record, "r")).mkdir(parents=True, exist_ok=True)
    assert Store(tmp_path).run_folder(record) is None
    stages = {"stages": {"adapt": part}}
    assert Store(tmp_path).stage_folder(stages, "adapt") is None


def test_a_stage_folder_is_found_by_the_records_digits(tmp_path):
    store, record = Store(tmp_path), {"stages": {"sample": "0123456789abcdef"}}
    assert store.stage_folder(record, "sample") is None
    folder = store.sample_folder("0123456789abcdef" + "f" * 48)
    folder.mkdir(parents=True)
    assert store.stage_folder(record, "sample") == folder
    assert store.stage_folder(record, "adapt") is None


def make_run(root):
    (root / "runs" / "mini" / "copy" / "babies" / "k10-seed0-0123456789").mkdir(parents=True)


def test_other_results_are_below_and_next_to_an_empty_folder(tmp_path):
    root = tmp_path / "results"
    for folder in (root / "smoke", tmp_path / "old"):
        make_run(folder)
    (root / "published").mkdir()
    (tmp_path / "elsewhere" / "runs" / "of_another_program").mkdir(parents=True)
    assert other_results(root) == [tmp_path / "old", root / "smoke"]
    make_run(root)
    assert other_results(root) == [root / "smoke"]
    assert other_results(root / "smoke") == []
    assert other_results(tmp_path / "not_there") == [tmp_path / "old", root]


def test_runs_names_the_folder_of_smoke_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "results" / "smoke")
    assert runs.main([]) == 0
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "0 runs",
        "more runs are in results/smoke: fsig-bench runs results_dir=results/smoke",
    ]
    assert runs.main(["results_dir=results/smoke"]) == 0
    out = capsys.readouterr().out
    assert "killed" in out and "its process ended and left no reason" in out
    assert "it never wrote a status" in out and "more runs" not in out
