"""The variational bound's pieces against independent forms."""

import math

import torch
from torch.distributions import Normal, kl_divergence

from baselines.common.diffusion import Schedule, ancestral_loop, linear_abar
from baselines.common.variational import (
    Tables,
    clean_estimate,
    discretised_nll,
    learned_log_variance,
    normal_kl,
    posterior_mean,
)

TABLES = Tables.of(linear_abar())


def test_kl_is_torch_distributions_kl():
    a, b, c, d = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    want = kl_divergence(Normal(a, (b / 2).exp()), Normal(c, (d / 2).exp()))
    torch.testing.assert_close(normal_kl(a, b, c, d), want)


def test_discretised_probabilities_sum_to_one():
    levels = torch.arange(256).float() / 127.5 - 1
    mean, log_var = torch.full((256,), 0.3), torch.full((256,), -5.0)
    assert abs(float((-discretised_nll(levels, mean, log_var)).exp().sum()) - 1) < 1e-4


def test_posterior_is_bayes_rule():
    """q(x_{t-1} | x_t, x_0) from the product of two Gaussians, in float64."""
    abar = linear_abar()
    for t in (1, 10, 500, 999):
        a, prev = float(abar[t]), float(abar[t - 1])
        alpha, beta = a / prev, 1 - a / prev
        x0, xt = 0.4, -0.7
        precision = alpha / beta + 1 / (1 - prev)
        mean = (math.sqrt(alpha) * xt / beta + math.sqrt(prev) * x0 / (1 - prev)) / precision
        got = posterior_mean(
            torch.full((1, 1, 1, 1), x0), torch.full((1, 1, 1, 1), xt), torch.tensor([t]), TABLES
        )
        assert abs(float(got) - mean) < 1e-5
        assert abs(float(TABLES.log_posterior[t].exp()) * precision - 1) < 1e-4


def test_variance_head_spans_posterior_to_beta():
    t, v = torch.tensor([700, 700]), torch.tensor([-1.0, 1.0])[:, None, None, None]
    low, high = learned_log_variance(v, t, TABLES).flatten().tolist()
    assert low == float(TABLES.log_posterior[700]) and high == float(TABLES.log_beta[700])


def test_clean_estimate_inverts_noising():
    x0, z, t = torch.randn(3, 3, 4, 4), torch.randn(3, 3, 4, 4), torch.tensor([0, 300, 800])
    abar = TABLES.abar[t][:, None, None, None]
    x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * z
    torch.testing.assert_close(clean_estimate(z, x_t, t, TABLES), x0, rtol=1e-3, atol=1e-4)


def test_ancestral_sampling_reaches_a_known_gaussian(toy_source):
    g = torch.Generator().manual_seed(0)
    noise = lambda: torch.randn(400, 3, 2, 2, generator=g)  # noqa: E731

    def net(x, t):
        return torch.cat([toy_source.eps(x, int(t[0])), torch.zeros_like(x)], 1)

    x = ancestral_loop(net, noise(), Schedule.respaced(200), noise)
    assert abs(float(x.mean()) - toy_source.mean) < 0.02
    assert abs(float(x.std()) - toy_source.spread) < 0.03
