"""Shots that lie far from the source model's images are named; others are not."""

import numpy as np
import pytest
import torch
from helpers import make_cell
from PIL import Image

from fsig_bench.faceworld.render import render
from fsig_bench.report.terminal import warnings
from fsig_bench.runner.score import kept_features
from fsig_bench.runner.source_distance import different_images, shots_beyond, source_distance
from fsig_bench.store.store import Store


def write(folder, images):
    folder.mkdir()
    for n, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{n}.png")
    return folder


def cell_of(folder, *words):
    return make_cell("method=copy", "dataset=folder", f"dataset.path='{folder}'", "k=4", *words)


def drawn(domain):
    return [x.permute(1, 2, 0).numpy() for x in render(domain, "fresh", range(4))[0]]


def stripes():
    edge = np.zeros((64, 64, 3), np.uint8)
    return [
        np.roll(edge + 255 * (np.arange(64) // (n + 1) % 2)[None, :, None].astype(np.uint8), n)
        for n in range(4)
    ]


def test_counts_are_of_nearest_neighbours_against_the_quantile():
    g = torch.Generator().manual_seed(0)
    source = torch.randn(400, 2, generator=g)
    assert shots_beyond(torch.randn(10, 2, generator=g) / 2, source)[0] == 0
    beyond, ratio = shots_beyond(torch.cat([torch.full((3, 2), 50.0), torch.zeros(2, 2)]), source)
    assert beyond == 3 and ratio > 10


def test_far_shots_are_named_and_near_ones_are_not(tmp_path):
    store = Store(tmp_path / "results")
    near = source_distance(cell_of(write(tmp_path / "near", drawn("adults"))), store)
    far = source_distance(cell_of(write(tmp_path / "far", stripes())), store)
    assert near["shots_beyond"] == 0 and "remark" not in near
    assert far["shots_beyond"] == 4 and far["remark"].startswith("4 of 4 shots lie further")
    record = {"method": "x", "notes": {"source_distance": far}, "config": {}, "metrics": {}}
    assert warnings([record, record]) == [far["remark"]]


def test_it_is_said_of_a_users_own_images_only(tmp_path):
    store = Store(tmp_path / "results")
    assert source_distance(make_cell("method=copy", "dataset=obama"), store) is None
    folder = write(tmp_path / "own", stripes())
    assert source_distance(cell_of(folder, "suite/source_images=none"), store) is None
    source = make_cell("method=source", "dataset=folder", f"dataset.path={folder}", "k=4")
    assert source_distance(source, store) is None


def test_repeated_source_images_count_once():
    images = torch.tensor([3, 1, 3, 1, 2], dtype=torch.uint8)[:, None, None, None]
    assert different_images(images).flatten().tolist() == [3, 1, 2]


def test_features_are_computed_once(tmp_path, monkeypatch):
    store = Store(tmp_path / "results")
    cell = cell_of(write(tmp_path / "own", stripes()))
    first = source_distance(cell, store)
    monkeypatch.setattr(
        "fsig_bench.runner.score.in_batches", lambda *a: pytest.fail("computed again")
    )
    assert source_distance(cell, store) == first


class Counting:
    """A feature network that counts its images."""

    def __init__(self):
        self.seen = 0

    def features(self, images):
        self.seen += len(images)
        return images.float().mean((2, 3))


def test_kept_features_belong_to_a_network_and_to_images(tmp_path):
    cell, network = make_cell("method=copy", "dataset=babies"), Counting()
    images = render("adults", "source", range(3))[0]

    def kept(of, place=cell, policy="fp32"):
        return kept_features(of, network, place, Store(tmp_path), policy=policy)

    torch.testing.assert_close(kept(images), images.float().mean((2, 3)))
    assert torch.equal(kept(images), kept(images)) and network.seen == 3
    kept(images.flip(0))
    assert network.seen == 6
    kept(images, make_cell("method=copy", "dataset=babies", "network@suite.extractor=random_trunk"))
    assert network.seen == 9
    kept(images, policy="tf32")  # other arithmetic, other features
    assert network.seen == 12
