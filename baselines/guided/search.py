"""Sequential Monte Carlo over denoising paths: weights, resampling, and the choice at the end.

Legend: p particles of each of u units; every random number of a unit comes from (draw, unit).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fsig_bench.api import generator


def effective_count(log_weights: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2 of weights [p, u], [u]: from 1, one particle has all, to p."""
    return (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()


def systematic(log_weights: Tensor, place: Tensor) -> Tensor:
    """Ancestors [p, u] by systematic resampling with one uniform number for each unit [u].

    Particle j is copied floor(p w_j) or that plus 1 times.
    """
    p = len(log_weights)
    edges = log_weights.double().softmax(0).cumsum(0)  # [p, u]
    marks = (torch.arange(p, device=edges.device)[:, None] + place) / p
    found = torch.searchsorted(edges.T.contiguous(), marks.T.contiguous(), right=True)
    return found.T.clamp(max=p - 1)


@dataclass
class Weights:
    """The weights of the particles of some units, while they are denoised."""

    draw: int
    units: Sequence[int]
    temperature: float
    log: Tensor  # [p, u]
    energy: Tensor  # [p, u], the last one seen; at first 0

    @classmethod
    def even(
        cls, count: int, units: Sequence[int], *, draw: int, temperature: float, device: str
    ) -> Weights:
        """Equal weights of `count` particles for each unit."""
        zeros = torch.zeros(count, len(units), device=device)
        return cls(draw, units, temperature, zeros, zeros.clone())

    def see(self, energy: Tensor) -> None:
        """Takes a step's energies [p, u] in: in the end weights are exp(-last energy / T)."""
        self.log = self.log - (energy - self.energy) / self.temperature
        self.energy = energy

    def resample(self, step: int) -> Tensor:
        """Ancestors [p, u]: drawn for units whose effective count is below p / 2, else 0..p-1."""
        p = len(self.log)
        own = torch.arange(p, device=self.log.device)[:, None].expand_as(self.log)
        poor = effective_count(self.log) < p / 2
        found = torch.where(poor, systematic(self.log, self._uniform("resample", step)), own)
        self.energy = self.energy.gather(0, found)
        self.log = torch.where(poor, torch.zeros_like(self.log), self.log)
        return found

    def choose(self) -> Tensor:
        """One particle of each unit [u], drawn by weight."""
        edges = self.log.double().softmax(0).cumsum(0)
        return (edges < self._uniform("choose")).sum(0).clamp(max=len(edges) - 1)

    def _uniform(self, *purpose: str | int) -> Tensor:
        drawn = [
            torch.rand((), dtype=torch.float64, generator=generator(self.draw, "guided", *words))
            for words in ((*purpose, unit) for unit in self.units)
        ]
        return torch.stack(drawn).to(self.log.device)
