"""The rendering residual: quantiles by hand, drawings told from what was done to them."""

import pytest
import torch
from test_perceptual import evidence

from fsig_bench.faceworld.reader import FactorReader
from fsig_bench.faceworld.render import render
from fsig_bench.metrics.redraw import redraw_gaps
from fsig_bench.metrics.residual import (
    RenderingResidual,
    compare_residuals,
    quantile_among,
)


def test_quantiles_by_hand():
    real = torch.tensor([4.0, 1.0, 2.0, 3.0])
    values = torch.tensor([0.5, 2.5, 3.0, 9.0])
    # 3.0 has two below it and one at it, which counts by half.
    assert quantile_among(values, real=real).tolist() == [0.0, 0.5, 0.625, 1.0]


def test_real_images_lie_in_the_middle_of_themselves():
    real = torch.rand(1001, generator=torch.Generator().manual_seed(0))
    found = compare_residuals(real=real, fake=real, limit=0.99)
    assert found["ratio"] == 1.0 and found["median_quantile"] == pytest.approx(0.5)
    assert found["beyond"] == pytest.approx(0.01, abs=1e-3)


def test_three_times_the_residual_is_a_ratio_of_three_and_saturates_nothing_but_the_quantile():
    real = torch.linspace(1, 2, 500)
    three, six = (compare_residuals(real=real, fake=real * f, limit=0.99) for f in (3, 6))
    assert three["median_quantile"] == six["median_quantile"] == 1.0
    assert three["beyond"] == six["beyond"] == 1.0
    assert (three["ratio"], six["ratio"]) == (pytest.approx(3), pytest.approx(6))


def test_gaps_by_hand_and_by_blocks():
    """Drawings are black: the pixel gap is the image's root mean square, 255 / 2 for half white."""
    images = torch.zeros(9, 3, 8, 8, dtype=torch.uint8)
    images[:, :, :2] = 255
    how = {
        "redraw": lambda own: torch.zeros(len(own), 3, 8, 8, dtype=torch.uint8),
        "perceive": lambda x: x.flatten(1).float() / 255,
    }
    gaps = redraw_gaps(images, torch.zeros(9, 2), batch_size=2, **how)
    assert gaps.shape == (9, 2)
    assert gaps[:, 0].tolist() == pytest.approx([127.5] * 9)
    assert gaps[:, 1].tolist() == pytest.approx([48.0] * 9)  # 2 of 8 rows, 3 channels


def test_fresh_drawings_have_a_ratio_of_one_and_damaged_ones_more():
    reader = FactorReader(weights="baselines/weights/mini/reader.safetensors", trunk_maps=4)
    real, fresh = (render("babies", s, range(60))[0] for s in ("reference", "fresh"))
    noise = torch.randn(fresh.shape, generator=torch.Generator().manual_seed(0)) * 25
    cases = {"fresh": fresh, "noisy": (fresh + noise).clamp(0, 255).byte()}
    found = {}
    for name, fake in cases.items():
        e = evidence(fake, fresh[:1], real, reader, perceptual=reader)
        found[name] = RenderingResidual(part="pixels", limit=0.99)(e)
    assert found["fresh"]["value"] == pytest.approx(1, abs=0.15)
    assert found["fresh"]["pixels"]["beyond"] < 0.1
    assert found["noisy"]["value"] > 1.5 and found["noisy"]["pixels"]["beyond"] > 0.5
    assert found["noisy"]["perceptual"]["median_quantile"] > 0.9
    assert found["noisy"]["value"] == found["noisy"]["pixels"]["ratio"]
