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
    multistep_loop,
    predict_x0,
    q_sample,
    respaced_timesteps,
    solve,
    timesteps_by_noise,
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


@pytest.mark.parametrize("count", [2, 10, 25, 400, 1000])
def test_steps_by_noise_are_distinct_and_reach_both_ends(count):
    t = timesteps_by_noise(count, linear_abar())
    assert len(t) == count
    assert t == sorted(set(t))
    assert (t[0], t[-1]) == (0, 999)


def test_steps_by_noise_are_even_in_the_seventh_root():
    sigma = ((1 - linear_abar()) / linear_abar()).sqrt()
    roots = sigma[timesteps_by_noise(10, linear_abar())] ** (1 / 7)
    assert roots.diff().max() / roots.diff().min() < 1.05  # as near as whole timesteps allow
    with pytest.raises(ValueError, match="1 sampling steps"):
        timesteps_by_noise(1, linear_abar())


def gaussian_eps(sd: torch.Tensor):
    """The exact noise prediction for independent Gaussian pixels of deviation sd, around zero."""

    def eps(x, t):
        a = float(linear_abar()[t])
        return math.sqrt(1 - a) * x / (a * sd**2 + 1 - a)

    return eps


def test_second_order_follows_the_exact_flow_of_a_gaussian():
    """For data N(0, sd^2) the probability flow multiplies a sample of x_T by one number.

    It is sqrt of the ratio of the variances at its ends; the error of a second-order solver falls
    about fourfold when its steps are halved, that of DDIM twofold.
    """
    sd = torch.tensor([0.05, 0.1, 0.2, 0.3], dtype=torch.float64)
    x = torch.ones(1, 4, dtype=torch.float64) / 10  # small, so that no estimate is clamped
    exact = x[0] * sd / (linear_abar()[-1] * sd**2 + 1 - linear_abar()[-1]).sqrt()

    def error(solver, steps):
        found = solve(solver, gaussian_eps(sd), x, num_steps=steps, table=linear_abar())[0]
        return ((found - exact).abs() / exact).max().item()

    assert error("dpmpp_2m", 25) < 0.05 < 0.3 < error("ddim", 25)
    assert 3 < error("dpmpp_2m", 20) / error("dpmpp_2m", 40) < 5
    assert 1.2 < error("ddim", 20) / error("ddim", 40) < 2.2


def test_second_order_written_out_for_three_steps():
    """Algorithm 2 of DPM-Solver++ in its own symbols, with estimates given by hand."""
    table = linear_abar()
    steps = Schedule(t=[0, 400, 999], abar=[float(table[t]) for t in (0, 400, 999)])
    estimates = {999: 0.2, 400: 0.5, 0: -0.3}

    def eps(x, t):
        a = float(table[t])
        return (x - math.sqrt(a) * estimates[t]) / math.sqrt(1 - a)

    alpha = [math.sqrt(a) for a in reversed(steps.abar)]
    sigma = [math.sqrt(1 - a) for a in reversed(steps.abar)]
    lam = [math.log(a / s) for a, s in zip(alpha, sigma, strict=True)]
    x = torch.full((1, 1), 0.7, dtype=torch.float64)
    h1, h2 = lam[1] - lam[0], lam[2] - lam[1]
    x1 = sigma[1] / sigma[0] * x - alpha[1] * math.expm1(-h1) * 0.2
    r = h1 / h2
    d = (1 + 1 / (2 * r)) * 0.5 - 1 / (2 * r) * 0.2
    x2 = sigma[2] / sigma[1] * x1 - alpha[2] * math.expm1(-h2) * d

    seen = []

    def watched(x, t):
        seen.append(x.clone())
        return eps(x, t)

    assert multistep_loop(watched, x, steps).item() == pytest.approx(-0.3)
    torch.testing.assert_close(seen[1], x1)
    torch.testing.assert_close(seen[2], x2)
