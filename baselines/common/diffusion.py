"""Gaussian diffusion in discrete time, as pure functions.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020, arXiv:2006.11239 (DDPM);
Song et al., "Denoising Diffusion Implicit Models", ICLR 2021, arXiv:2010.02502 (DDIM);
Nichol & Dhariwal, "Improved DDPM", ICML 2021, arXiv:2102.09672 (learned variance, respacing);
Dhariwal & Nichol, "Diffusion Models Beat GANs", NeurIPS 2021, arXiv:2105.05233 (guided DDIM);
Karras et al., "EDM", NeurIPS 2022, arXiv:2206.00364 (steps by noise level);
Lu et al., "DPM-Solver++", arXiv:2211.01095 (second order at one evaluation a step).

Legend: abar = cumulative product of alpha; i = index in the respaced schedule; t = original step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from baselines.common.variational import Tables, learned_log_variance, posterior_mean
from fsig_bench.api import upload

Eps = Callable[[Tensor, int], Tensor]  # (x_t [n, 3, h, w], original t) -> predicted noise
Solver = Literal["ddim", "dpmpp_2m"]  # `solve` has them


def linear_abar(num_steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """abar_t for linear betas, float64 [num_steps] (DDPM, section 4)."""
    return (1 - torch.linspace(first, last, num_steps, dtype=torch.float64)).cumprod(0)


def scaled_linear_abar(
    num_steps: int = 1000, first: float = 0.0015, last: float = 0.0195
) -> Tensor:
    """abar_t for betas linear in their roots, float64 (Rombach et al., arXiv:2112.10752)."""
    roots = torch.linspace(first**0.5, last**0.5, num_steps, dtype=torch.float64)
    return (1 - roots.square()).cumprod(0)


def respaced_timesteps(count: int, num_steps: int = 1000) -> list[int]:
    """`count` original timesteps, both ends included (the "25" respacing of guided-diffusion).

    The stride is added up, as there: for 283 of the counts up to 1000, such as 21 and 23, rounding
    then falls otherwise than for multiples of the stride.
    """
    if not 2 <= count <= num_steps:
        raise ValueError(f"{count} sampling steps asked for; choose 2 to {num_steps}")
    stride = (num_steps - 1) / (count - 1)
    return [round(place) for place in accumulate([0.0] + [stride] * (count - 1))]


def timesteps_by_noise(count: int, table: Tensor, *, rho: float = 7.0) -> list[int]:
    """`count` distinct original timesteps, both ends included, even in sigma^(1/rho).

    sigma = sqrt((1 - abar) / abar); Eq. 5 of EDM, each level at the nearest timestep that is free.
    """
    if not 2 <= count <= len(table):
        raise ValueError(f"{count} sampling steps asked for; choose 2 to {len(table)}")
    sigma = ((1 - table) / table).sqrt()
    roots = torch.linspace(
        float(sigma[0] ** (1 / rho)), float(sigma[-1] ** (1 / rho)), count, dtype=torch.float64
    )
    chosen: list[int] = []
    for j, level in enumerate((roots**rho).tolist()):
        nearest = int((sigma.log() - math.log(level)).abs().argmin())
        first = chosen[-1] + 1 if chosen else 0
        chosen.append(min(max(nearest, first), len(table) - count + j))
    return chosen


@dataclass(frozen=True)
class Schedule:
    """A respaced schedule: index i walks over original timesteps t[i]."""

    t: list[int]
    abar: list[float]

    @classmethod
    def respaced(cls, count: int, table: Tensor | None = None) -> Schedule:
        """`count` steps of a 1000-step schedule of abar, by default the linear one."""
        table = linear_abar() if table is None else table
        t = respaced_timesteps(count, len(table))
        return cls(t, [float(table[step]) for step in t])

    @classmethod
    def by_noise(cls, count: int, table: Tensor) -> Schedule:
        """`count` steps that lie close together where the noise is weak."""
        t = timesteps_by_noise(count, table)
        return cls(t, [float(table[step]) for step in t])

    def abar_prev(self, i: int) -> float:
        """The previous respaced index's abar; 1 (a clean image) before index 0."""
        return self.abar[i - 1] if i > 0 else 1.0

    def nearest(self, alpha: float) -> int:
        """The index whose abar is nearest to alpha."""
        return min(range(len(self)), key=lambda i: abs(self.abar[i] - alpha))

    def __len__(self) -> int:
        return len(self.t)


def q_sample(x0: Tensor, abar: float, noise: Tensor) -> Tensor:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise (DDPM, Eq. 4)."""
    return math.sqrt(abar) * x0 + math.sqrt(1 - abar) * noise


def predict_x0(x: Tensor, eps: Tensor, abar: float, *, clamp: bool = True) -> Tensor:
    """x_0 estimate, clamped to the image range unless it is a latent (DDPM, Eq. 15)."""
    x0 = (x - math.sqrt(1 - abar) * eps) / math.sqrt(abar)
    return x0.clamp(-1, 1) if clamp else x0


def ddim_step(x: Tensor, x0: Tensor, *, abar: float, abar_prev: float) -> Tensor:
    """x_{t-1} from x_t and a (guided or plain) x_0 estimate, sigma = 0 (DDIM, Eq. 12)."""
    eps = (x - math.sqrt(abar) * x0) / math.sqrt(1 - abar)
    return math.sqrt(abar_prev) * x0 + math.sqrt(1 - abar_prev) * eps


def guidance_gains(*, abar: float, abar_prev: float, scale: float) -> tuple[float, float]:
    """(c0, c1): what a unit of guidance G adds to x_0 and to x_{t-1} in guided DDIM.

    Guided DDIM (Dhariwal & Nichol, Algorithm 2) takes eps - sqrt(1 - abar) scale G. Putting that
    into Eq. 12 of DDIM gives x0_g = x0 + c0 G and x_{t-1} = x_{t-1} + c1 G.
    """
    c0 = scale * (1 - abar) / math.sqrt(abar)
    c1 = math.sqrt(abar_prev) * c0 - scale * math.sqrt((1 - abar_prev) * (1 - abar))
    return c0, c1


def guided_step(
    eps: Eps, x: Tensor, i: int, schedule: Schedule, *, guidance: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One DDIM step at respaced index i -> (x_{t-1}, x_0 estimate).

    `guidance` is scale * G, used like a classifier's gradient. The x_0 estimate is clamped before
    guidance and not after it, as in guided-diffusion.
    """
    abar = schedule.abar[i]
    x0 = predict_x0(x, eps(x, schedule.t[i]), abar)
    if guidance is not None:
        x0 = x0 + (1 - abar) / math.sqrt(abar) * guidance
    return ddim_step(x, x0, abar=abar, abar_prev=schedule.abar_prev(i)), x0


def ddim_loop(
    eps: Eps, x: Tensor, schedule: Schedule, *, start: int | None = None, clamp: bool = True
) -> Tensor:
    """Plain DDIM from respaced index `start` (default: the noisiest) down to a clean image."""
    for i in reversed(range(len(schedule) if start is None else start + 1)):
        abar = schedule.abar[i]
        x0 = predict_x0(x, eps(x, schedule.t[i]), abar, clamp=clamp)
        x = ddim_step(x, x0, abar=abar, abar_prev=schedule.abar_prev(i))
    return x


def multistep_loop(eps: Eps, x: Tensor, schedule: Schedule, *, clamp: bool = True) -> Tensor:
    """DPM-Solver++(2M) (Algorithm 2) from the noisiest index down to a clean image.

    Each step is DDIM's with an x_0 that the last two estimates extrapolate in lambda, half the
    logarithm of abar / (1 - abar); the first and the last step take the estimate itself.
    """
    last: tuple[Tensor, float] | None = None  # the estimate before and its step in lambda
    for i in reversed(range(len(schedule))):
        abar, abar_prev = schedule.abar[i], schedule.abar_prev(i)
        x0 = predict_x0(x, eps(x, schedule.t[i]), abar, clamp=clamp)
        used = x0
        if i > 0:
            h = 0.5 * math.log(abar_prev * (1 - abar) / ((1 - abar_prev) * abar))
            used = x0 + h / (2 * last[1]) * (x0 - last[0]) if last else x0
            last = (x0, h)
        x = ddim_step(x, used, abar=abar, abar_prev=abar_prev)
    return x


def solve(
    solver: Solver, eps: Eps, x: Tensor, *, num_steps: int, table: Tensor, clamp: bool = True
) -> Tensor:
    """Pure noise x to a clean image by `num_steps` evaluations, without fresh noise.

    ddim: evenly spaced timesteps, as guided-diffusion's. dpmpp_2m: `multistep_loop` over steps by
    noise level, which at 25 evaluations keeps the contrast that DDIM loses.
    """
    if solver == "ddim":
        return ddim_loop(eps, x, Schedule.respaced(num_steps, table), clamp=clamp)
    return multistep_loop(eps, x, Schedule.by_noise(num_steps, table), clamp=clamp)


def ddim_from(eps: Eps, z: Tensor, noise: Tensor, alpha: float, schedule: Schedule) -> Tensor:
    """Noises latents z to the step whose abar is nearest to alpha, then DDIM back; unclamped."""
    start = schedule.nearest(alpha)
    abar = schedule.abar[start]
    x = abar**0.5 * z + (1 - abar) ** 0.5 * noise
    return ddim_loop(eps, x, schedule, start=start, clamp=False)


def ancestral_loop(
    net: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    schedule: Schedule,
    noise: Callable[[], Tensor],
) -> Tensor:
    """Ancestral sampling with a learned variance, respaced (IDDPM, section 4), to a clean image.

    Args:
        net: (x_t [n, c, h, w], original t [n]) -> epsilon and variance head [n, 2c, h, w].
        x: pure noise [n, c, h, w].
        schedule: the steps to take.
        noise: a fresh draw of x's shape at each call; not called for the last step.
    """
    tables = Tables.of(torch.tensor(schedule.abar, dtype=torch.float64)).to(x.device)
    for i in reversed(range(len(schedule))):
        step = torch.full((len(x),), i, device=x.device)
        eps, v = net(x, torch.full_like(step, schedule.t[i])).chunk(2, 1)
        mean = posterior_mean(predict_x0(x, eps, schedule.abar[i]), x, step, tables)
        if i == 0:
            return mean
        std = (0.5 * learned_log_variance(v, step, tables)).exp()
        x = mean + std * upload(noise(), x.device)  # drawn while a GPU is at work
    return x
