from __future__ import annotations

import math

import pytest
import torch

from baselines.common.diffusion import (
    Schedule,
    ddim_loop,
    guidance_gains,
    guided_step,
    linear_abar,
    predict_x0,
    q_sample,
    respaced_timesteps,
)
from fsig_bench.api.seeding import generator

# fmt: off
TIMESTEPS_25 = [0, 42, 83, 125, 166, 208, 250, 291, 333, 375, 416, 458, 500, 541, 583, 624, 666,
                708, 749, 791, 832, 874, 916, 957, 999]
GAINS = [  # i, t, abar, c0, c1 at scale 2, as printed (to its last digit)
    (5, 208, .6347, 0.917, .183), (6, 250, .5214, 1.326, .220), (7, 291, .4159, 1.811, .251),
    (8, 333, .3186, 2.414, .295), (9, 375, .2356, 3.150, .335), (10, 416, .1696, 4.033, .364),
    (11, 458, .1169, 5.165, .414), (12, 500, .0778, 6.613, .456), (13, 541, .0505, 8.45, .485),
    (14, 583, .0313, 10.94, .542), (15, 624, .0190, 14.24, .570), (16, 666, .0110, 18.87, .631),
    (17, 708, .0061, 25.39, .678), (18, 749, .0034, 34.44, .705), (19, 791, .0017, 47.83, .774),
]
# fmt: on
SCHEDULE = Schedule.respaced(25)


def images(n: int, *purpose: str) -> torch.Tensor:
    return torch.randn(n, 3, 4, 4, generator=generator(0, *purpose))


def test_respacing_is_that_of_guided_diffusion():
    assert respaced_timesteps(25) == TIMESTEPS_25
    assert respaced_timesteps(1000) == list(range(1000))
    # The stride is added up: 10 * 49.95 is 499.5, and ten additions give a little less or more.
    place, added = 0.0, []
    for _ in range(21):
        added.append(round(place))
        place += 999 / 20
    assert respaced_timesteps(21) == added != [round(i * 999 / 20) for i in range(21)]
    with pytest.raises(ValueError, match="1 sampling steps"):
        respaced_timesteps(1)


def test_abar_starts_at_one_minus_beta():
    abar = linear_abar()
    assert abar.dtype == torch.float64
    assert abar[0].item() == pytest.approx(1 - 1e-4)
    assert abar[1].item() == pytest.approx((1 - 1e-4) * (1 - 1e-4 - 0.0199 / 999))
    assert SCHEDULE.abar_prev(0) == 1.0
    assert SCHEDULE.abar_prev(7) == SCHEDULE.abar[6]


@pytest.mark.parametrize(("i", "t", "abar", "c0", "c1"), GAINS)
def test_guidance_gains_match_the_printed_table(i, t, abar, c0, c1):
    assert SCHEDULE.t[i] == t
    assert SCHEDULE.abar[i] == pytest.approx(abar, abs=6e-5)
    found = guidance_gains(abar=SCHEDULE.abar[i], abar_prev=SCHEDULE.abar_prev(i), scale=2.0)
    assert found == (pytest.approx(c0, rel=6e-4), pytest.approx(c1, abs=6e-4))


@pytest.mark.parametrize("i", [5, 12, 19])
def test_guidance_enters_like_a_classifier_gradient(toy_source, i):
    """Guided DDIM written out: eps - sqrt(1 - abar) s G, then DDIM's Eq. 12."""
    x, g, scale = images(2, "x"), images(2, "g"), 2.0
    a, prev = SCHEDULE.abar[i], SCHEDULE.abar_prev(i)
    clamped = predict_x0(x, toy_source.eps(x, SCHEDULE.t[i]), a)
    eps = (x - math.sqrt(a) * clamped) / math.sqrt(1 - a) - math.sqrt(1 - a) * scale * g
    x0 = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
    x_prev = math.sqrt(prev) * x0 + math.sqrt(1 - prev) * eps
    found_prev, found_x0 = guided_step(toy_source.eps, x, i, SCHEDULE, guidance=scale * g)
    torch.testing.assert_close(found_prev, x_prev, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found_x0, x0, rtol=1e-5, atol=1e-4)

    plain_prev, plain_x0 = guided_step(toy_source.eps, x, i, SCHEDULE)
    c0, c1 = guidance_gains(abar=a, abar_prev=prev, scale=scale)
    torch.testing.assert_close(found_x0 - plain_x0, c0 * g, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found_prev - plain_prev, c1 * g, rtol=1e-4, atol=1e-4)


def test_zero_guidance_is_plain_ddim(toy_source):
    x = images(2, "x")
    for i in (0, 6, 24):
        plain = guided_step(toy_source.eps, x, i, SCHEDULE)
        zero = guided_step(toy_source.eps, x, i, SCHEDULE, guidance=torch.zeros_like(x))
        assert all(torch.equal(a, b) for a, b in zip(plain, zero, strict=True))


def test_x0_estimate_inverts_q_sample_and_is_clamped():
    x0, noise = images(2, "x0").clamp(-1, 1), images(2, "noise")
    x_t = q_sample(x0, 0.3, noise)
    torch.testing.assert_close(predict_x0(x_t, noise, 0.3), x0, rtol=0, atol=1e-5)
    assert predict_x0(5 + x_t, noise, 0.3).max() == 1.0


def test_the_loop_finds_the_only_image_of_a_perfect_denoiser():
    only = images(1, "only").clamp(-0.9, 0.9)

    def eps(x, t):
        a = float(linear_abar()[t])
        return (x - math.sqrt(a) * only) / math.sqrt(1 - a)

    torch.testing.assert_close(ddim_loop(eps, images(3, "x"), SCHEDULE), only.expand(3, -1, -1, -1))


def test_the_loop_visits_each_index_down_from_its_start():
    visited = []

    def eps(x, t):
        visited.append(t)
        return torch.zeros_like(x)

    ddim_loop(eps, images(1, "x"), SCHEDULE, start=3)
    assert visited == [125, 83, 42, 0]
