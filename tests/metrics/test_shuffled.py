"""The random part of the samples that a metric looks at: a fair part, where images repeat too."""

import hashlib
from collections import Counter

import pytest
import torch
from test_perceptual import evidence, intra, pictures

from fsig_bench.metrics.diversity import LPIPSDiversity
from fsig_bench.metrics.lpips import shuffled


def names(images, order):
    return [images[i].numpy().tobytes() for i in order]


def test_a_part_of_repeated_images_holds_each_about_as_often_as_the_whole():
    """Ten images, 50 times each: 200 of the 500 hold each 20 times, give or take three sigma."""
    images = pictures(10, 1).repeat(50, 1, 1, 1)
    counts = Counter(names(images, shuffled(images, 0)[:200]))
    sigma = (200 * 0.1 * 0.9 * 300 / 499) ** 0.5  # hypergeometric
    assert len(counts) == 10
    assert all(abs(count - 20) < 3.5 * sigma for count in counts.values()), counts.values()


def test_the_order_of_images_that_repeat_changes_nothing():
    images = torch.cat([pictures(30, 1), pictures(5, 2).repeat(6, 1, 1, 1)])
    turned = images[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    first, second = (names(x, shuffled(x, 3)) for x in (images, turned))
    assert first == second != names(images, shuffled(images, 4))
    assert sorted(shuffled(images, 3).tolist()) == list(range(60))


def test_unlike_images_keep_the_order_of_their_digests():
    """Numbers of samples without repetitions stay what they were."""
    images = pictures(40, 1)
    digests = [hashlib.sha256(b"7" + x.numpy().tobytes()).digest() for x in images]
    assert shuffled(images, 7).tolist() == sorted(range(40), key=digests.__getitem__)


def test_diversity_of_replayed_shots_is_that_of_all_of_them():
    """k shots replayed: a pair is of unlike shots with probability (k - 1) / k, about."""
    shots = pictures(10, 1)
    fake = shots.repeat(50, 1, 1, 1)
    whole = LPIPSDiversity(count=500)(evidence(fake, shots))["value"]
    part = LPIPSDiversity(count=200)(evidence(fake, shots))["value"]
    assert part == pytest.approx(whole, rel=0.02)


def test_a_cluster_of_a_repeated_image_and_others_is_measured_on_a_fair_part():
    """One shot; half of the samples are one image. All pairs of 40 against those of 400."""
    shots = pictures(1, 1)
    fake = torch.cat([pictures(200, 2), pictures(1, 3).repeat(200, 1, 1, 1)])
    whole = intra(cluster_size=400)(evidence(fake, shots))["value"]
    assert intra(cluster_size=40)(evidence(fake, shots))["value"] == pytest.approx(whole, rel=0.15)
