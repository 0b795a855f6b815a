"""CRDI's objective and its optimum, as pure functions; symbols as in the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from baselines.common.diffusion import Eps, Schedule, guided_step, q_sample
from fsig_bench.api import generator, upload


def split_window(start: int, end: int, count: int) -> list[range]:
    """`count` contiguous segments of [start, end); the first, least noisy, take the remainder."""
    count = min(count, end - start)
    size, rest = divmod(end - start, count)
    edges = [start + j * size + min(j, rest) for j in range(count + 1)]
    return [range(a, b) for a, b in pairwise(edges)]


def count_strata(length: int, fraction: float) -> int:
    """Steps that an Adam step visits in a segment of this length (official code)."""
    return max(int(fraction * length), 1)


def stratified_steps(segment: range, fraction: float, g: torch.Generator) -> list[int]:
    """One step from each n-th of a segment of length L, n = `count_strata(L, fraction)`."""
    n = count_strata(len(segment), fraction)
    u = (torch.arange(n) + torch.rand(n, generator=g)) * len(segment) / n
    return [segment.start + min(int(v), len(segment) - 1) for v in u]


def residual_sd(residual: float | Sequence[float], segments: int) -> Tensor:
    """The deviation of the noise on each segment's embeddings, [segments, 1, 1, 1].

    Raises:
        ValueError: another count, or a negative number.
    """
    each = [residual] * segments if isinstance(residual, int | float) else list(residual)
    if len(each) != segments or min(each) < 0:
        raise ValueError(
            f"residual={residual}: give a number of 0 or more, or one for each of the "
            f"{segments} segments"
        )
    return torch.tensor(each, dtype=torch.float32).view(-1, 1, 1, 1)


def residuals(
    eps: Eps, x0: Tensor, i: int, s: Schedule, *, noise: Tensor, noise_prev: Tensor
) -> tuple[Tensor, Tensor]:
    """r0 = x0 - x0_hat and r1 = y_{t-1} - x_hat_{t-1}: what guidance at index i has to make up."""
    x_t = q_sample(x0, s.abar[i], noise)
    target = q_sample(x0, s.abar_prev(i), noise_prev)
    x_prev, x0_hat = guided_step(eps, x_t, i, s)
    return x0 - x0_hat, target - x_prev


def loss(sge: Tensor, r0: Tensor, r1: Tensor, *, c0: float, c1: float, penalty: float) -> Tensor:
    """The objective at one step: clean-image term, one-step term, distance to the mean SGE."""
    spread = (sge - sge.mean(0)).square().mean()
    return (r0 - c0 * sge).square().mean() + (r1 - c1 * sge).square().mean() + penalty * spread


def optimum(pull: Tensor, weight: float, penalty: float) -> Tensor:
    """Where the objective of a segment is least, [n, 3, h, w].

    Stratified visits reach every index of a segment equally often and the penalty counts at each
    visit. So with pull = mean_i E[c0 r0 + c1 r1] and weight = mean_i (c0^2 + c1^2) the objective
    is, up to a constant, weight ||G - pull / weight||^2 + penalty ||G - mean_n G||^2: the mean over
    the shots feels no penalty, and deviations from it shrink by weight / (weight + penalty).
    """
    free = pull / weight
    mean = free.mean(0)
    return mean + weight / (weight + penalty) * (free - mean)


def adam_step(x: Tensor, grad: Tensor, m: Tensor, v: Tensor, *, count: int, lr: float) -> None:
    """Step number `count` >= 1, in place (Kingma & Ba, arXiv:1412.6980, Algorithm 1)."""
    m.mul_(0.9).add_(grad, alpha=0.1)
    v.mul_(0.999).addcmul_(grad, grad, value=0.001)
    x.sub_(lr * (m / (1 - 0.9**count)) / ((v / (1 - 0.999**count)).sqrt() + 1e-8))


def noise_for(x0: Tensor, seed: int, *purpose: str | int) -> Tensor:
    """N(0, 1) in the shape and on the device of x0; the same on every device."""
    return upload(torch.randn(x0.shape, generator=generator(seed, "crdi", *purpose)), x0.device)


def shot_of(rule: str, draw: int, index: int, step: int, k: int) -> int:
    """Which shot's SGE image `index` gets: a permutation for each pass over the shots."""
    if rule == "own":
        return index % k
    words = ("sge", index // k) if rule == "permute_once" else ("sge", index // k, step)
    return int(torch.randperm(k, generator=generator(draw, "crdi", *words))[index % k])
