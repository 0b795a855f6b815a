"""The energy of a state, its gradient, and the parts of a guided step.

Shape legend: m images, u units of b images each, k shots, e embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from baselines.common.diffusion import Schedule, ddim_step
from baselines.guided.energies import (
    Kernel,
    density,
    kernel_for,
    mmd,
    mmd_gradient,
    nearest,
    typical_distance,
)
from fsig_bench.api import Perceptual


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What images are steered to: embedded shots under an energy."""

    perceptual: Perceptual | None  # None: the pixels themselves are the embedding
    shots: Tensor  # embedded, [k, e]
    energy: Literal["mmd", "nearest", "density"]
    kernel: Kernel
    scale: float  # density: the squared bandwidth
    unit: int  # images that an energy is a function of

    @classmethod
    def at(
        cls,
        shots: Tensor,
        *,
        perceptual: Perceptual | None,
        energy: Literal["mmd", "nearest", "density"],
        kernel: Literal["polynomial", "gaussian"],
        degree: int,
        bandwidth: float,
        unit: int,
    ) -> Aim:
        """From shots [k, 3, h, w]."""
        with torch.no_grad():
            rows = shots.flatten(1) if perceptual is None else perceptual.perceive(shots)
        return cls(
            perceptual=perceptual,
            shots=rows,
            energy=energy,
            kernel=kernel_for(rows, kind=kernel, degree=degree, bandwidth=bandwidth),
            scale=max((bandwidth * typical_distance(rows)) ** 2, 1e-12),
            unit=unit,
        )

    @property
    def device(self) -> str:
        return str(self.shots.device)

    def embed(self, images: Tensor) -> Tensor:
        """[m, 3, h, w] -> [m, e]."""
        return images.flatten(1) if self.perceptual is None else self.perceptual.perceive(images)

    def energies(self, images: Tensor, owners: Sequence[int]) -> Tensor:
        """The energy of each unit, [m / unit].

        Args:
            images: [m, 3, h, w], the images of a unit in a row.
            owners: the index of each image; image i is assigned shot i mod k.
        """
        rows = self.embed(images)
        if self.energy == "mmd":
            return mmd(rows.view(-1, self.unit, rows.shape[1]), self.shots, self.kernel)
        if self.energy == "nearest":
            return nearest(rows, self.shots[[i % len(self.shots) for i in owners]])
        return density(rows, self.shots, scale=self.scale)

    def pulling(self, images: Tensor, owners: Sequence[int]) -> Tensor:
        """The sum of the energies, each times its number of images: what gradients are taken of."""
        return self.unit * self.energies(images, owners).sum()

    def gradient(self, images: Tensor, owners: Sequence[int]) -> Tensor:
        """Of `pulling` with respect to the images, [m, 3, h, w].

        The MMD of pixels is written out; all else is differentiated by torch.
        """
        if self.perceptual is None and self.energy == "mmd":
            groups = images.flatten(1).view(-1, self.unit, self.shots.shape[1])
            return mmd_gradient(groups, self.shots, self.kernel).view_as(images)
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.pulling(leaf, owners), leaf)
        return slope


def normalised(gradient: Tensor) -> Tensor:
    """Each image's gradient [m, ...] with a root mean square of 1; a zero gradient stays zero."""
    size = gradient.flatten(1).square().mean(1).sqrt().clamp(min=1e-12)
    return gradient / size[:, None, None, None]


def strengths(kind: Literal["increase", "constant", "decrease"], schedule: Schedule) -> list[float]:
    """Relative strength of guidance at each step, with a mean of 1 (TFG, section 4.2).

    With alpha_t = abar_t / abar_{t-1}: proportional to alpha_t, which increases as images become
    clean, to 1 - alpha_t, or to 1.
    """
    ratios = [a / schedule.abar_prev(i) for i, a in enumerate(schedule.abar)]
    raw = {"increase": ratios, "decrease": [1 - r for r in ratios], "constant": [1.0] * len(ratios)}
    mean = sum(raw[kind]) / len(ratios)
    return [value / mean for value in raw[kind]]


def stochastic_step(
    x: Tensor, x0: Tensor, *, abar: float, abar_prev: float, eta: float, noise: Tensor | None
) -> Tensor:
    """x_{t-1} from x_t and an estimate of x_0 (DDIM, Eq. 12 and 16); without noise as if eta is 0.

    Args:
        x: x_t.
        x0: the estimate.
        abar: of step t.
        abar_prev: of step t - 1.
        eta: 0 keeps all of the noise in x_t, 1 renews as much of it as DDPM does.
        noise: standard normal, shaped like x, or None.
    """
    if noise is None:
        return ddim_step(x, x0, abar=abar, abar_prev=abar_prev)
    eps = (x - math.sqrt(abar) * x0) / math.sqrt(1 - abar)
    variance = eta**2 * (1 - abar_prev) / (1 - abar) * (1 - abar / abar_prev)
    kept = math.sqrt(max(1 - abar_prev - variance, 0.0))
    return math.sqrt(abar_prev) * x0 + kept * eps + math.sqrt(variance) * noise
