"""Figures of the fidelity of source models, on images whose faults are known."""

import json

import pytest
import torch
from helpers import ROOT

from fsig_bench.faceworld.render import render
from tools.fidelity import measure_edges, measure_grain, measure_nyquist


@pytest.fixture(scope="module")
def faces():
    return render("adults", "fresh", range(60))[0]


def with_columns(images, levels):
    """Every second column lighter, the others darker, by `levels`."""
    sign = torch.tensor([1.0, -1.0]).repeat(images.shape[3] // 2)
    return (images.float() + levels * sign).clamp(0, 255).round().to(torch.uint8)


def test_alternating_columns_have_the_amplitude_that_was_planted(faces):
    flat = torch.full((2, 3, 64, 64), 100, dtype=torch.uint8)
    assert measure_nyquist(with_columns(flat, 3))[1] == pytest.approx(3)
    clean, amplitude = measure_nyquist(faces)
    assert 0.5 < clean < 2 and amplitude < 0.1
    ratio, amplitude = measure_nyquist(with_columns(faces, 2))
    assert ratio > 100 * clean and amplitude == pytest.approx(2, abs=0.2)
    ratio, amplitude = measure_nyquist(with_columns(faces.mT, 2).mT)  # rows
    assert ratio > 100 * clean and amplitude == pytest.approx(2, abs=0.2)


def test_white_noise_has_a_ratio_of_one():
    g = torch.Generator().manual_seed(0)
    noise = (128 + 20 * torch.randn(400, 3, 64, 64, generator=g)).clamp(0, 255).to(torch.uint8)
    assert measure_nyquist(noise)[0] == pytest.approx(1, abs=0.15)


def test_grain_is_the_deviation_within_squares_of_flat_patches(faces):
    flat = torch.full((2, 3, 64, 64), 100, dtype=torch.uint8)
    assert measure_grain(with_columns(flat, 3)) == pytest.approx(3)
    assert measure_grain(with_columns(faces, 3)) > measure_grain(faces) + 2


def test_edges_are_counted_and_blur_loses_them(faces):
    half = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    half[..., 32:] = 255
    assert measure_edges(half) == pytest.approx(1 / 63)  # one column of the 63 differences
    blurred = torch.nn.functional.avg_pool2d(faces.float(), 5, 1).to(torch.uint8)
    assert measure_edges(blurred) < 0.6 * measure_edges(faces[..., 2:-2, 2:-2])


SHOWN = {"diffusion": "diffusion model", "gan": "style-based generator", "prior": "latent prior"}


def test_the_page_of_the_mini_suite_has_the_figures_of_the_manifest():
    entries = json.loads((ROOT / "baselines/weights/mini_v2/manifest.json").read_text())
    quality = {name: entries[f"{name}.safetensors"]["quality"] for name in SHOWN}
    page = " ".join((ROOT / "docs" / "mini_suite.md").read_text().split())
    for name, label in SHOWN.items():
        assert f"| {label} | {quality[name]['fd_to_adults']:.1f} |" in page
    own, real = quality["diffusion"]["fidelity"], quality["diffusion"]["fidelity_of_real"]
    for key in ("edges", "residual_seen"):
        assert f"{own[key]:.3f} ({real[key]:.3f})" in page
    for key, digits in (("residual_pixels", 1), ("nyquist_grey", 2)):
        assert f"{own[key]:.{digits}f} grey levels ({real[key]:.{digits}f})" in page
    assert f"It is {own['nyquist']:.1f} ({real['nyquist']:.1f})" in page
    assert f"which its section explains, is {own['nyquist']:.1f} (wanted" in page
