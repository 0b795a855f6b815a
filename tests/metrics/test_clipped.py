"""Clipped Density and Coverage: hand values, calibration by simulation, shares of bad samples."""

import numpy as np
import pytest
import torch
from test_perceptual import evidence, pictures

from fsig_bench.metrics import blocks as blocks_file
from fsig_bench.metrics.clipped import Balls, Clipped, expected_coverage


def normal(n, d=8, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand():
    """On a line, k = 1: radii 1, 1, 2, 5 with median 1.5; an outlier's ball is shrunk."""
    real = torch.tensor([[0.0], [1.0], [3.0], [8.0]])
    balls = Balls.around(real, 1)
    assert balls.radius.tolist() == [1, 1, 2, 5]
    assert balls.clipped.tolist() == [1, 1, 1.5, 1.5]
    # Of the real images 0 and 1 lie in each other's balls, 3 and 8 in none.
    assert balls.own_density == 0.5
    fake = torch.tensor([[0.5], [2.0], [5.0], [-4.0], [-5.0], [-6.0], [-7.0], [-8.0]])
    values = balls.values(fake)
    assert values["clipped_density"] == pytest.approx(2 / 8 / 0.5)
    # Whole balls, strictly: 0 and 1 hold 0.5; 3 holds 2 (5 lies on its edge); 8 holds 5.
    assert values["clipped_coverage"] == 1.0
    assert balls.values(fake[[0, 3, 4]])["clipped_density"] == pytest.approx(1 / 3 / 0.5)


def test_expected_coverage_is_that_of_a_simulation():
    m, n, k = 40, 30, 3
    g = torch.Generator().manual_seed(1)
    counts = torch.zeros(n + 1, dtype=torch.float64)
    for _ in range(400):
        real, fake = torch.rand(2, m, 1, generator=g, dtype=torch.float64)
        inside = torch.cdist(real, fake[:n]) < blocks_file.radii(real, k)[:, None]
        counts[1:] += inside.cumsum(1).clamp(max=k).double().mean(0) / k
    expected = expected_coverage(m=m, n=n, k=k)
    assert expected[0] == 0 and expected[1] == pytest.approx(1 / m)  # each ball's mean mass is k/m
    assert np.abs(counts.numpy() / 400 - expected).max() < 0.015


@pytest.mark.parametrize("share", [1.0, 0.6, 0.2, 0.0])
def test_values_are_the_share_of_good_samples(share):
    real, good = normal(1500), normal(800, seed=1)
    bad = normal(800, seed=2) + 100
    fake = torch.cat([good[: round(800 * share)], bad[round(800 * share) :]])
    values = Balls.around(real, 5).values(fake)
    assert values["clipped_density"] == pytest.approx(share, abs=0.05)
    assert values["clipped_coverage"] == pytest.approx(share, abs=0.05)


def test_a_collapsed_cloud_is_dense_and_covers_little_and_a_missing_half_shows():
    real = normal(1000)
    balls = Balls.around(real, 5)
    tight = balls.values(0.1 * normal(500, seed=1))
    assert tight["clipped_density"] == 1.0 and tight["clipped_coverage"] < 0.2
    fresh = normal(4000, seed=2)
    half = balls.values(fresh[fresh[:, 0] > 0][:1000])
    assert half["clipped_density"] > 0.95 and 0.4 < half["clipped_coverage"] < 0.8


def test_values_by_blocks(monkeypatch):
    real, fake = normal(230), normal(310, seed=1) * 1.2
    whole = Balls.around(real, 5).values(fake)
    monkeypatch.setattr(blocks_file, "MOST", 7 * 310)
    assert Balls.around(real, 5).values(fake) == pytest.approx(whole, abs=1e-9)


def test_the_metric_names_its_error_and_refuses_too_few():
    e = evidence(pictures(60, 1), pictures(2, 0), pictures(60, 2))
    density, coverage = (
        Clipped(which=w, k=3, blocks=3)(e) for w in ("clipped_density", "clipped_coverage")
    )
    assert 0.5 < density["value"] <= 1 and 0.5 < coverage["value"] <= 1
    assert density["error"]["size"] == 20 and (density["k"], density["n_real"]) == (3, 60)
    assert coverage["warning"] is None
    many = evidence(pictures(50, 1), pictures(2, 0), pictures(12, 2))
    warned = Clipped(which="clipped_coverage", k=3, blocks=3)(many)["warning"]
    assert "take at most 48" in warned
    with pytest.raises(ValueError, match="fake has 5 images"):
        Balls.around(normal(20), 5).values(normal(5))
    with pytest.raises(ValueError, match="real features hold NaN"):
        Balls.around(normal(20) / 0, 5)
