"""The spectrum ratio: white noise, gratings and checkerboards, whose spectra are known."""

import math
from itertools import pairwise

import pytest
import torch
from test_perceptual import evidence

from fsig_bench.faceworld.render import render
from fsig_bench.metrics.spectrum import (
    GRIDS,
    TO_DB,
    Spectrum,
    band_of,
    expected_largest,
    hann,
    log_power,
    nyquist_power,
    places_of_grids,
)

SIDE = 32


def noise(n, seed, spread=20.0):
    g = torch.Generator().manual_seed(seed)
    grey = 128 + spread * torch.randn(n, 1, SIDE, SIDE, generator=g)
    return grey.round().clamp(0, 255).byte().expand(-1, 3, -1, -1).contiguous()


def planted_grid(images, amplitude, kind):
    y, x = torch.arange(images.shape[2])[:, None], torch.arange(images.shape[3])[None, :]
    alternating = {"columns": x + 0 * y, "rows": y + 0 * x, "checkerboard": x + y}[kind]
    return (images + amplitude * (1.0 - 2.0 * (alternating % 2))).round().clamp(0, 255).byte()


def spectrum(fake, real):
    return Spectrum(bands_per_octave=2)(evidence(fake, real[:1], real))


def test_bands_are_half_octaves_with_the_nyquist_frequency_at_a_centre():
    band, centres = band_of(SIDE, SIDE, 2)
    steps = [b / a for a, b in pairwise(centres)]
    assert steps == pytest.approx([2**0.5] * len(steps)) and centres[-2:] == [0.5, 0.5**0.5]
    assert int(band[0, 0]) == -1  # the mean belongs to none
    assert int(band[0, SIDE // 2]) == int(band[SIDE // 2, 0]) == len(centres) - 2
    assert int(band[SIDE // 2, SIDE // 2]) == len(centres) - 1


def test_white_noise_has_its_variance_in_every_band():
    """The power of a place is the variance; the mean log of a band of many is a little below."""
    found = log_power(2)(noise(200, 0)).mean(0)
    rings, grids = found[:-3], found[-3:]
    assert rings[-3:].tolist() == pytest.approx([math.log(400)] * 3, abs=0.1)
    assert grids.tolist() == pytest.approx([math.log(400)] * 3, abs=0.4)  # of fewer places


def test_half_the_contrast_is_six_decibels():
    result = spectrum(noise(200, 0, spread=10), noise(200, 1))
    assert result["value"] == pytest.approx(20 * math.log10(2), abs=0.5)
    assert all(db < -5.3 for db in result["by_band_db"].values())


def test_equal_distributions_stay_at_the_floor_that_is_stated():
    real = noise(600, 0)
    values = [spectrum(noise(150, seed), real)["value"] for seed in range(1, 9)]
    floor = expected_largest(log_power(2)(real), 150)
    assert sum(values) / 8 == pytest.approx(floor, rel=0.35)
    assert spectrum(noise(150, 1), real)["floor"] == pytest.approx(floor)


def test_the_floor_of_one_band_is_the_mean_of_a_half_normal():
    x = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0)).double()
    by_hand = TO_DB * math.sqrt(2 / math.pi) * math.sqrt(1 / 100 + 1 / 4000)
    assert expected_largest(x, 100) == pytest.approx(by_hand, rel=0.06)


@pytest.mark.parametrize("side", [32, 64, 33])
def test_grids_of_two_pixels_lie_where_they_are_looked_for(side):
    """An even grid's power, and that of one with another strength left and right, is all there."""
    y, x = torch.arange(side)[:, None], torch.arange(side)[None, :]
    fade = 1 + 0.5 * torch.cos(2 * math.pi * (x + y) / side)
    places = places_of_grids(side, side)
    for j, alternating in enumerate((x + 0 * y, y + 0 * x, x + y)):
        sign = 1.0 - 2.0 * (alternating % 2)
        window = hann(side)[:, None] * hann(side)[None, :]
        power = torch.fft.rfft2(sign * fade * window).abs().square()
        assert float(power[places[j]].sum() / power.sum()) > 0.9
        assert all(float(power[places[i]].sum() / power.sum()) < 0.02 for i in range(3) if i != j)


@pytest.mark.parametrize("kind", GRIDS)
def test_a_grid_of_two_pixels_is_seen_by_its_own_band(kind):
    real, fresh = noise(200, 0), noise(200, 1)
    faint = planted_grid(fresh, 4, kind)
    result = spectrum(faint, real)
    assert result["largest_at"] == kind and result["value"] > 2
    rings = {name: db for name, db in result["by_band_db"].items() if name not in GRIDS}
    if kind != "checkerboard":
        assert max(map(abs, rings.values())) < 0.6  # it drowns in them
        assert result["nyquist_of_real"] == pytest.approx(1, abs=0.4) and result["nyquist"] > 1.8


@pytest.mark.parametrize("kind", GRIDS)
def test_half_a_grey_level_is_seen_on_faces(kind):
    real, fresh = (render("babies", "fresh", range(n, n + 250))[0] for n in (0, 250))
    clean = spectrum(fresh, real)
    assert clean["value"] < 2 * clean["floor"]
    result = spectrum(planted_grid(fresh, 0.5, kind), real)
    assert result["largest_at"] == kind and result["value"] > 2 * clean["floor"]


def test_the_nyquist_ratio_of_white_noise_is_one_and_a_grating_is_all_at_it():
    rows, columns = nyquist_power(noise(2000, 0)).mean(0)
    for at, near in (rows, columns):
        assert float(at / near) == pytest.approx(1, abs=0.12)
    grating = torch.full((1, 3, SIDE, SIDE), 100, dtype=torch.uint8)
    grating[:, :, :, ::2] = 120
    along_rows, along_columns = nyquist_power(grating)[0]
    assert float(along_rows[1]) < 1e-6 * float(along_rows[0])
    assert float(along_columns[0]) == pytest.approx(0)
    turned = nyquist_power(grating.mT)[0]
    assert torch.allclose(turned, nyquist_power(grating)[0].flip(0))


def test_images_of_another_size_have_no_common_spectrum():
    real = torch.zeros(4, 3, 2 * SIDE, 2 * SIDE, dtype=torch.uint8)
    assert math.isnan(spectrum(noise(3, 0), real)["value"])
    flat = torch.full((4, 3, SIDE, SIDE), 7, dtype=torch.uint8)
    assert spectrum(flat, flat)["value"] == 0.0
