"""The variational bound of a diffusion model with a learned variance, as pure functions.

Ho et al., arXiv:2006.11239 (DDPM); Nichol & Dhariwal, arXiv:2102.09672 (IDDPM).
Shape legend: n images, c channels, h height, w width, s steps of the schedule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tables:
    """Posterior tables of a schedule, float32 [s] (DDPM, Eq. 7)."""

    abar: Tensor
    log_beta: Tensor
    log_posterior: Tensor  # log of the posterior variance; index 0 copies index 1
    coef_x0: Tensor
    coef_xt: Tensor

    @classmethod
    def of(cls, abar: Tensor) -> Tables:
        """From abar [s], whole or respaced (IDDPM, Eq. 19)."""
        abar = abar.double()
        prev = torch.cat([torch.ones(1, dtype=abar.dtype), abar[:-1]])
        beta = 1 - abar / prev
        var = beta * (1 - prev) / (1 - abar)
        tables = (
            abar,
            beta.log(),
            torch.cat([var[1:2], var[1:]]).log(),
            beta * prev.sqrt() / (1 - abar),
            (1 - prev) * (1 - beta).sqrt() / (1 - abar),
        )
        return cls(*(a.float() for a in tables))

    def to(self, device: str | torch.device) -> Tables:
        """The same tables on a device, where `at` then copies nothing."""
        return Tables(*(getattr(self, f.name).to(device) for f in fields(self)))


def at(table: Tensor, t: Tensor) -> Tensor:
    """table[t] as [n, 1, 1, 1], on t's device."""
    return table.to(t.device)[t][:, None, None, None]


def noised(x0: Tensor, noise: Tensor, t: Tensor, tables: Tables) -> Tensor:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise, each image at its own t (DDPM, Eq. 4)."""
    abar = at(tables.abar, t)
    return abar.sqrt() * x0 + (1 - abar).sqrt() * noise


def learned_log_variance(v: Tensor, t: Tensor, tables: Tables) -> Tensor:
    """Log Sigma between the posterior's (v = -1) and beta's (v = 1) (IDDPM, Eq. 15)."""
    mix = (v + 1) / 2
    return mix * at(tables.log_beta, t) + (1 - mix) * at(tables.log_posterior, t)


def posterior_mean(x0: Tensor, x_t: Tensor, t: Tensor, tables: Tables) -> Tensor:
    """Mean of q(x_{t-1} | x_t, x_0) (DDPM, Eq. 7)."""
    return at(tables.coef_x0, t) * x0 + at(tables.coef_xt, t) * x_t


def clean_estimate(eps: Tensor, x_t: Tensor, t: Tensor, tables: Tables) -> Tensor:
    """x_0 from predicted noise, not clamped (DDPM, Eq. 15)."""
    abar = at(tables.abar, t)
    return (x_t - (1 - abar).sqrt() * eps) / abar.sqrt()


def normal_kl(mean_p: Tensor, log_p: Tensor, mean_q: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of diagonal Gaussians from means and log-variances, in nats."""
    return 0.5 * (
        log_q - log_p - 1 + (log_p - log_q).exp() + (mean_p - mean_q) ** 2 * (-log_q).exp()
    )


def discretised_nll(x0: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-log p of 8-bit pixels in [-1, 1] under a Gaussian (DDPM, Eq. 13), in nats."""
    inverse = (-0.5 * log_var).exp()

    def cdf(v: Tensor) -> Tensor:
        return 0.5 * (1 + torch.erf(v * inverse / math.sqrt(2)))

    high = torch.where(x0 > 0.999, torch.ones_like(x0), cdf(x0 - mean + 1 / 255))
    low = torch.where(x0 < -0.999, torch.zeros_like(x0), cdf(x0 - mean - 1 / 255))
    return -(high - low).clamp(min=1e-12).log()


def variational_bound(
    out: Tensor, x0: Tensor, x_t: Tensor, t: Tensor, tables: Tables, *, clip: bool
) -> Tensor:
    """L_t of each pixel in bits [n, c, h, w] (IDDPM, Eq. 4 to 7) for an output [n, 2c, h, w].

    Epsilon is detached: the bound trains the variance only (IDDPM, section 3.1).
    """
    eps, v = out.chunk(2, 1)
    guess = clean_estimate(eps.detach(), x_t, t, tables)
    mean = posterior_mean(guess.clamp(-1, 1) if clip else guess, x_t, t, tables)
    log_var = learned_log_variance(v, t, tables)
    true = posterior_mean(x0, x_t, t, tables)
    kl = normal_kl(true, at(tables.log_posterior, t), mean, log_var)
    first = (t == 0)[:, None, None, None]
    return torch.where(first, discretised_nll(x0, mean, log_var), kl) / math.log(2)
