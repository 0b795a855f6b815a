"""Networks look at each set of images once, whoever asks again and whatever was asked before."""

import shutil
from dataclasses import replace

import pytest
import torch
from helpers import BRIEF, make_cell

from fsig_bench.faceworld.reader import FactorReader
from fsig_bench.metrics.base import Evidence
from fsig_bench.networks.base import in_batches
from fsig_bench.runner.run import run
from fsig_bench.runner.score import score
from fsig_bench.store.store import Store

SMALL = ["num_images=24", "batch_size=24", "suite.shard_size=24", "dataset.n_ref=120", "device=cpu"]


def cell_of(*words, method="copy", dataset="babies"):
    return make_cell(f"method={method}", f"dataset={dataset}", "controls=[]", *SMALL, *words)


@pytest.fixture
def looked(monkeypatch):
    """How many images each of the reader's ways of looking has seen."""
    counts = {"features": 0, "perceive": 0, "read": 0}
    for way in counts:
        original = getattr(FactorReader, way)

        def counted(self, images, way=way, original=original):
            counts[way] += len(images)
            return original(self, images)

        monkeypatch.setattr(FactorReader, way, counted)
    return counts


def samples(cell):
    return cell.dataset.shots(10, 0)[torch.arange(24) % 10]


def test_a_second_protocol_on_the_same_images_asks_no_network_again(tmp_path, looked):
    store = Store(tmp_path)
    first, _ = score(cell_of(), samples(cell_of()), store)
    assert looked["features"] >= 24 + 120
    before = dict(looked)
    again = cell_of("protocol.metrics.precision.k=3", "protocol.metrics.fd.blocks=2")
    second, _ = score(again, samples(again), store)
    assert looked["features"] == before["features"] and looked["read"] == before["read"]
    assert second["fd"]["value"] == first["fd"]["value"]
    assert second["precision"]["k"] == 3
    assert second["fd"]["protocol_hash"] != first["fd"]["protocol_hash"]


def test_the_reference_is_read_once_for_all_methods(tmp_path, looked):
    store = Store(tmp_path)
    run(cell_of(*BRIEF, "figures.tsne_points=12"), store)
    assert looked["features"] >= 24 + 120
    seen = looked["features"]
    other = cell_of(*BRIEF)
    fake = samples(other).flip(3)
    score(other, fake, store)
    assert looked["features"] - seen == 24  # these samples; neither the reference nor the shots


@pytest.fixture(scope="module")
def scored_once(tmp_path_factory):
    """A store after `cell_of()` was scored, and the values."""
    folder = tmp_path_factory.mktemp("scored")
    return folder, score(cell_of(), samples(cell_of()), Store(folder))[0]


@pytest.fixture
def scored(scored_once, tmp_path):
    """The same in a folder of the test's own."""
    shutil.copytree(scored_once[0], tmp_path / "scored")
    return Store(tmp_path / "scored"), scored_once[1]


@pytest.mark.parametrize(
    ("word", "again"),
    [
        # (a change, which of the reader's looks at the reference are made anew)
        ("suite.extractor.trunk_maps=3", {"features", "read"}),
        ("k=5", set()),
        ("dataset.n_ref=121", {"features", "read"}),
        ("seed=1", set()),
    ],
)
def test_what_is_kept_is_keyed_by_all_that_decides_it(word, again, scored, looked):
    store, _ = scored
    kept = {p.name for p in (store.root / "store" / "features").iterdir()}
    before = dict(looked)
    changed = cell_of(word)
    score(changed, samples(cell_of()), store)
    looks = {w for w in ("features", "read") if looked[w] - before[w] >= 100}
    assert looks == again
    # Distances to the shots and drawings depend on the shots and on the perceptual network.
    new = {p.name for p in (store.root / "store" / "features").iterdir()} - kept
    assert bool(new) == (word != "seed=1")


def test_a_drawing_is_kept_by_both_networks_that_it_depends_on(tmp_path):
    """The gaps between images and drawings of what was read: reader by one, LPIPS by the other."""
    store, name = Store(tmp_path), "rendered_precision"
    base = cell_of(*BRIEF, f"+metric@protocol.metrics.{name}={name}")
    one, _ = score(base, samples(base).flip(3), store)
    two_maps = {**base.protocol.perceptual, "trunk_maps": 2}
    other = replace(base, protocol=replace(base.protocol, perceptual=two_maps))
    two, _ = score(other, samples(other).flip(3), store)
    fresh, _ = score(other, samples(other).flip(3), Store(tmp_path / "apart"))
    assert two[name] == fresh[name] and two["nearest_shot"] == fresh["nearest_shot"]
    assert two["nearest_shot"]["value"] != one["nearest_shot"]["value"]
    assert two["fd"]["value"] == one["fd"]["value"]


def perceptual_rows(cell, store):
    """A value of the reference alone that another metric might ask for, by the LPIPS network."""
    evidence = score(cell, samples(cell), store)[1]
    return evidence.cached(
        "real", "rows", "perceptual", lambda: in_batches(evidence.perceive, evidence.real, 24)
    )


def test_the_network_that_a_metric_names_is_the_one_whose_value_it_gets(tmp_path):
    """Two perceptual networks, one feature network: the second must not find the first's value."""
    store = Store(tmp_path)
    base = cell_of(*BRIEF)
    two_maps = {**base.protocol.perceptual, "trunk_maps": 2}
    other = replace(base, protocol=replace(base.protocol, perceptual=two_maps))
    one, two = perceptual_rows(base, store), perceptual_rows(other, store)
    assert torch.equal(two, perceptual_rows(other, Store(tmp_path / "apart")))
    assert not torch.equal(one, two)
    assert torch.equal(one, perceptual_rows(base, store))


def test_equal_words_for_unlike_networks_are_unlike_values():
    one = torch.ones(3)
    for keep in (None, lambda compute, **named: compute()):
        evidence = Evidence(
            shots=one, fake=one, real=one, extractor=None, perceptual=None, seed=0,
            batch_size=1, source_domain=None, disk_cache=keep,
        )  # fmt: skip
        for n, network in enumerate(("features", "perceptual", "both")):
            found = evidence.cached("real", "rows", network, lambda n=n: one * n)
            assert torch.equal(found, one * n)


def test_nothing_that_failed_is_kept(tmp_path, monkeypatch):
    def broken(self, images):
        return torch.full((len(images), 4), float("nan"))

    monkeypatch.setattr(FactorReader, "features", broken)
    with pytest.raises(ValueError, match=r"features of the \w+ images hold NaN"):
        score(cell_of(), samples(cell_of()), Store(tmp_path))
    assert not (tmp_path / "store" / "features").exists()
