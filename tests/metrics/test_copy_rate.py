"""The copy rate: its threshold by hand, with one shot and with equal ones, and on known copies."""

import pytest
import torch
from test_perceptual import evidence, pictures

from fsig_bench.faceworld.reader import FactorReader
from fsig_bench.faceworld.render import render
from fsig_bench.metrics.memorisation import CopyRate, copy_threshold, doubt
from fsig_bench.runner.score import apply_metrics

RATE = CopyRate(quantile=0.001, wide=0.45)


def test_the_threshold_is_a_quantile_of_all_pairs():
    distances = torch.tensor([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0], [4.0, 8.0]])
    assert copy_threshold(distances, 0.0) == 1.0
    assert copy_threshold(distances, 0.5) == 4.5
    assert copy_threshold(distances, 1 / 7) == pytest.approx(2.0)


@pytest.mark.parametrize("repeats", [2, 7])
def test_equal_shots_have_the_threshold_of_one(repeats):
    """A quantile of nearest distances has it too; the rate must not change with repetitions."""
    one, real = pictures(1, 1), pictures(300, 2)
    near = real.clone()
    alone, equal = (
        CopyRate(quantile=0.05, wide=1)(evidence(near, shots, real))
        for shots in (one, one.repeat(repeats, 1, 1, 1))
    )
    assert equal["threshold"] == pytest.approx(alone["threshold"], rel=1e-6)
    assert equal["value"] == alone["value"] == alone["of_real"] == pytest.approx(0.05, abs=0.01)


def test_k_shots_take_in_k_times_as_many_real_images():
    shots, real = pictures(8, 1), pictures(2000, 2)
    few, many = (
        CopyRate(quantile=0.005, wide=1)(evidence(real[:50], shots[:k], real)) for k in (1, 8)
    )
    assert few["of_real"] == pytest.approx(0.005, abs=0.001)
    assert many["of_real"] == pytest.approx(0.04, abs=0.012)


def test_shots_in_the_reference_do_not_lower_the_threshold():
    """Otherwise a share of the pairs is 0, and so is the threshold: nothing would be a copy."""
    shots, others = pictures(10, 1), pictures(300, 2)
    copies = shots.repeat(5, 1, 1, 1) ^ 1  # within a grey level
    apart = RATE(evidence(copies, shots, others))
    together = RATE(evidence(copies, shots, torch.cat([shots, others])))
    assert apart["value"] == together["value"] == 1.0
    assert together["threshold"] == pytest.approx(apart["threshold"], rel=1e-6)
    assert together["of_real"] == apart["of_real"] < 0.02
    assert "real_equal_to_shots" not in apart and together["real_equal_to_shots"] == 10
    assert (apart["n_real"], together["n_real"]) == (300, 310)


@pytest.mark.parametrize("k", [1, 10])
def test_a_reference_of_shots_alone_gives_no_rate_but_the_reason(k):
    shots = pictures(k, 1)
    found = apply_metrics({"copy_rate": RATE}, evidence(shots, shots, shots), title="")["copy_rate"]
    assert found["value"] is None and "equal no shot" in found["reason"]


def test_a_threshold_that_says_little_is_doubted():
    even = torch.linspace(0.9, 1.1, 4000).reshape(1000, 4)
    found = doubt(even, threshold=0.9, quantile=0.001, wide=0.45)
    assert "0.90 of the median distance" in found and "merely alike" in found
    assert doubt(even, threshold=0.3, quantile=0.001, wide=0.45) is None
    few = doubt(even[:100], threshold=0.3, quantile=0.001, wide=0.45)
    assert "100 real images make 400 pairs" in few and "0.4" in few


def test_known_copies_are_told_from_other_faces():
    """Grain, compression and a moved pixel are copies; a face with other factors is none."""
    reader = FactorReader(weights="baselines/weights/mini/reader.safetensors", trunk_maps=4)
    shots, real, fresh = (
        render("babies", split, range(n))[0]
        for split, n in (("shots", 10), ("reference", 120), ("fresh", 30))
    )
    grain = torch.randn(shots.shape, generator=torch.Generator().manual_seed(0)) * 8
    copies = {
        "grain": (shots + grain).round().clamp(0, 255).byte(),
        "moved": shots.roll(1, 3),
    }
    for name, fake in copies.items():
        found = RATE(evidence(fake, shots, real, reader, perceptual=reader))
        assert found["value"] == 1.0, name
    assert RATE(evidence(fresh, shots, real, reader, perceptual=reader))["value"] <= 0.1
