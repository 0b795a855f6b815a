"""The spectrum ratio: white noise, gratings and checkerboards, whose spectra are known."""

import math
from itertools import pairwise

import pytest
import torch
from test_perceptual import evidence

from fsig_bench.metrics.spectrum import (
    TO_DB,
    Spectrum,
    band_of,
    expected_largest,
    log_power,
    nyquist_power,
)

SIDE = 32


def noise(n, seed, spread=20.0):
    g = torch.Generator().manual_seed(seed)
    grey = 128 + spread * torch.randn(n, 1, SIDE, SIDE, generator=g)
    return grey.round().clamp(0, 255).byte().expand(-1, 3, -1, -1).contiguous()


def checkerboard(images, amplitude):
    sign = 1.0 - 2.0 * ((torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2)
    return (images + amplitude * sign).round().clamp(0, 255).byte()


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
    assert found[-3:].tolist() == pytest.approx([math.log(400)] * 3, abs=0.1)


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


def test_a_checkerboard_is_seen_in_the_last_band_and_by_the_nyquist_ratio():
    real = noise(200, 0)
    result = spectrum(checkerboard(noise(200, 1), 10), real)
    assert result["value"] > 3 and result["at_cycles_per_pixel"] == pytest.approx(0.7071)
    assert result["nyquist_of_real"] == pytest.approx(1, abs=0.3) and result["nyquist"] > 5


def test_the_nyquist_ratio_of_white_noise_is_one_and_a_row_grating_is_all_at_it():
    at, near = nyquist_power(noise(2000, 0)).mean(0)
    assert float(at / near) == pytest.approx(1, abs=0.12)
    grating = torch.full((1, 3, SIDE, SIDE), 100, dtype=torch.uint8)
    grating[:, :, :, ::2] = 120
    at, near = nyquist_power(grating)[0]
    assert float(near) < 1e-6 * float(at)


def test_images_of_another_size_have_no_common_spectrum():
    real = torch.zeros(4, 3, 2 * SIDE, 2 * SIDE, dtype=torch.uint8)
    assert math.isnan(spectrum(noise(3, 0), real)["value"])
    flat = torch.full((4, 3, SIDE, SIDE), 7, dtype=torch.uint8)
    assert spectrum(flat, flat)["value"] == 0.0
