"""Pieces that are whole but lie where they do not belong are refused, by name and with a remedy."""

import json
import shutil

import pytest
from helpers import make_cell

from fsig_bench.runner.run import run
from fsig_bench.store.curve import append_point, read_curve
from fsig_bench.store.store import Store

COPY = ["dataset=babies", "k=2", "num_images=12", "batch_size=6", "suite.shard_size=6"]
COPY += ["dataset.n_ref=100", "figures.tsne_points=10", "figures.embedding=pca", "controls=[]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs of `real`: two draw seeds, two shards each."""
    root = tmp_path_factory.mktemp("places")
    cells = [make_cell("method=real", *COPY, f"draw={draw}", f"seed={draw}") for draw in (0, 1)]
    for cell in cells:
        run(cell, Store(root))
    return root, cells


@pytest.fixture
def copied(made, tmp_path):
    root = tmp_path / "results"
    shutil.copytree(made[0], root)
    return Store(root), made[1]


def swap(one, other):
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def refused(cell, store, *, word):
    (store.root / cell.folder / "record.json").unlink()
    with pytest.raises(ValueError, match="belongs elsewhere") as error:
        run(cell, store)
    assert word in str(error.value) and "delete it and run the same command" in str(error.value)


def test_shards_swapped_between_runs(copied):
    store, (one, other) = copied
    swap(store.shard_path(one.sample_key, 0, 6), store.shard_path(other.sample_key, 0, 6))
    refused(one, store, word="its key is")


def test_shards_swapped_within_a_run(copied):
    store, (one, _) = copied
    swap(store.shard_path(one.sample_key, 0, 6), store.shard_path(one.sample_key, 6, 12))
    refused(one, store, word="its images is 6-12")


def test_the_state_of_another_run(copied):
    store, _ = copied
    one, other = (make_cell("method=crdi", *COPY, f"seed={s}") for s in (0, 7))
    from fsig_bench.api import State

    state = State(tensors={}, seed=7, trained_params=0, nfe_adapt=0)
    store.save_state(other.adapt_key, state, 0.0)
    place = store.adapt_folder(one.adapt_key)
    shutil.copytree(store.adapt_folder(other.adapt_key), place)
    with pytest.raises(ValueError, match="belongs elsewhere: its key"):
        store.load_state(one.adapt_key)


def test_features_rotated(copied):
    store, (one, _) = copied
    files = sorted((store.root / "store" / "features").glob("*.safetensors"))
    contents = [path.read_bytes() for path in files]
    for path, content in zip(files, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    refused(one, store, word="its key is")


def test_the_remedy_helps(copied):
    store, (one, other) = copied
    before = json.loads((store.root / one.folder / "record.json").read_text())
    swap(store.shard_path(one.sample_key, 0, 6), store.shard_path(other.sample_key, 0, 6))
    refused(one, store, word="its key is")
    store.shard_path(one.sample_key, 0, 6).unlink()
    record, _ = run(one, store)
    assert record["pixels_sha256"] == before["pixels_sha256"]
    assert record["metrics"]["fd"] == before["metrics"]["fd"]


def test_a_damaged_point_of_a_curve_is_left_out(tmp_path):
    file = tmp_path / "curve.jsonl"
    for done in (1, 2, 3):
        append_point(file, {"done": done, "total": 3, "loss": 0.5 / done})
    whole = read_curve(file)
    assert [point["done"] for point in whole] == [1, 2, 3] and whole[0]["loss"] == 0.5
    data = file.read_bytes()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bytes(flipped))
        assert all(point in whole for point in read_curve(file))
    file.write_bytes(data[: len(data) - 9])
    assert read_curve(file) == whole[:2]
