"""The guided sampler and its searches; the method is told in the package's docstring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from baselines.common.choices import check_choices
from baselines.common.diffusion import Schedule, predict_x0
from baselines.common.unet import DiffusionSource
from baselines.guided.search import Weights
from baselines.guided.steering import Aim, normalised, stochastic_step, strengths
from fsig_bench.api import (
    ImageGenerators,
    Images,
    Json,
    Perceptual,
    Progress,
    Sampler,
    State,
    upload,
)


class Noises:
    """Standard normal numbers for p particles of some images: a stream for each of them."""

    def __init__(self, draw: int, images: Sequence[int], particles: Sequence[int]) -> None:
        self._streams = [ImageGenerators(draw, images, "guided", "sample", c) for c in particles]

    def __call__(self, side: int, device: str) -> Tensor:
        """float32 [p * n, 3, side, side], all of a particle before the next."""
        drawn = torch.cat([stream.randn(3, side, side) for stream in self._streams])
        return upload(drawn, device)


@dataclass(frozen=True, kw_only=True)
class Guided:
    """The method; its values stand in conf/method/guided.yaml."""

    source: DiffusionSource
    perceptual: Perceptual
    num_steps: int
    eta: float  # of DDIM: 0 adds no noise, 1 as much as DDPM
    energy: Literal["mmd", "nearest", "density"]
    space: Literal["perceptual", "pixels"]  # where distances are taken
    kernel: Literal["polynomial", "gaussian"]  # mmd
    degree: int  # polynomial
    bandwidth: float  # gaussian and density, in units of the median distance between shots
    group: int  # mmd: images whose distribution is compared with the shots
    gradient: Literal["clean", "network", "none"]  # with respect to x0_hat, to x_t, or not at all
    strength: float  # TFG's mu (clean) or rho (network)
    schedule: Literal["increase", "constant", "decrease"]  # of the strength, over the steps
    normalise: bool  # gradients of unit root mean square, so that strength is in pixel units
    iterations: int  # clean: gradient steps within a denoising step
    recurrence: int  # times that each denoising step is taken, noised again in between
    search: Literal["none", "best_of", "smc"]
    particles: int  # candidates of best_of, particles of smc
    temperature: float  # smc

    def __post_init__(self) -> None:
        check_choices(self)
        counts = ("degree", "group", "iterations", "recurrence", "particles")
        if low := [name for name in counts if getattr(self, name) < 1]:
            raise ValueError(f"{low[0]}={getattr(self, low[0])}: give 1 or more")
        if self.bandwidth <= 0 or self.temperature <= 0:
            raise ValueError(
                f"bandwidth={self.bandwidth}, temperature={self.temperature}: both need more than 0"
            )
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta={self.eta}: give a value from 0 to 1")
        if self.gradient == "none" and self.search == "none":
            raise ValueError(
                "gradient=none and search=none leave the source model as it is: choose "
                "search=best_of or search=smc, or run method=source"
            )
        if self.search == "smc" and self.eta == 0 and self.particles > 1:
            raise ValueError(
                "search=smc copies particles, which part again by noise alone: set eta=1.0"
            )

    @cached_property
    def timetable(self) -> Schedule:
        """The steps that are taken."""
        return Schedule.respaced(self.num_steps, self.source.abar)

    @property
    def draws(self) -> int:
        """Trajectories behind one image."""
        return 1 if self.search == "none" else self.particles

    @property
    def nfe_per_image(self) -> float:
        """Evaluations of the source model, for all the images that a search throws away too."""
        weighed = self.search == "smc" and self.particles > 1 and self.gradient == "network"
        return self.num_steps * (self.recurrence + weighed) * self.draws

    def notes(self, state: State) -> Json:
        """What the search and the energies cost beside evaluations of the source model."""
        per_step = 0
        if self.gradient != "none":
            per_step = self.recurrence * (self.iterations if self.gradient == "clean" else 1)
        seen = self.num_steps * (per_step + (self.search == "smc")) + (self.search != "none")
        return {
            "energy_evaluations_per_image": seen * self.draws,
            "backward_passes_per_image": (
                self.num_steps * self.recurrence * self.draws if self.gradient == "network" else 0
            ),
            "images_drawn_together": self.unit,
        }

    @property
    def unit(self) -> int:
        """Images that depend on each other and are drawn together."""
        return self.group if self.energy == "mmd" else 1

    def planned_nfe(self, k: int) -> int:
        """Adapting keeps the shots and asks no network."""
        return 0

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Keeps the shots: all the work is in sampling."""
        return State(tensors={"shots": shots.clone()}, seed=seed, trained_params=0, nfe_adapt=0)

    def aim(self, state: State) -> Aim:
        """The energy that a state stands for."""
        return Aim.at(
            state.tensors["shots"].to(self.source.device),
            perceptual=self.perceptual if self.space == "perceptual" else None,
            energy=self.energy,
            kernel=self.kernel,
            degree=self.degree,
            bandwidth=self.bandwidth,
            unit=self.unit,
        )

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is drawn with its whole unit, i // unit, whatever else is asked for."""
        aim = self.aim(state)

        @torch.no_grad()
        def images_at(indices: Sequence[int]) -> Images:
            units = sorted({i // self.unit for i in indices})
            members = [u * self.unit + j for u in units for j in range(self.unit)]
            images = self.draw_units(aim, units, members, draw)[0]
            place = {i: n for n, i in enumerate(members)}
            return images[[place[i] for i in indices]].cpu()

        return images_at

    def draw_units(
        self, aim: Aim, units: Sequence[int], members: Sequence[int], draw: int
    ) -> tuple[Images, Tensor]:
        """The images of whole units [u * b, 3, h, w], and the energies of the units [u]."""
        if self.search != "best_of":
            return self._denoise(aim, units, members, draw, range(self.draws))
        images, least = self._denoise(aim, units, members, draw, [0])
        for c in range(1, self.particles):
            others, energies = self._denoise(aim, units, members, draw, [c])
            better = energies < least
            least = torch.where(better, energies, least)
            rows = better.repeat_interleave(self.unit)[:, None, None, None]
            images = torch.where(rows, others, images)
        return images, least

    def _denoise(
        self,
        aim: Aim,
        units: Sequence[int],
        members: Sequence[int],
        draw: int,
        particles: Sequence[int],
    ) -> tuple[Images, Tensor]:
        """Particles of all units from noise to images; under smc one particle of each is left."""
        p, u, s = len(particles), len(units), self.timetable
        noises, side, device = Noises(draw, members, particles), self.source.resolution, aim.device
        owners = list(members) * p
        weights = Weights.even(p, units, draw=draw, temperature=self.temperature, device=device)
        x = noises(side, device)
        for i in range(len(s) - 1, -1, -1):
            x0 = None
            if p > 1:
                x0 = self._clean(x, i)
                weights.see(aim.energies(x0, owners).view(p, u))
                ancestors = weights.resample(i)
                x, x0 = self._rows(x, ancestors), self._rows(x0, ancestors)
            for again in range(self.recurrence):
                if again:
                    ratio, x0 = s.abar[i] / s.abar_prev(i), None
                    x = math.sqrt(ratio) * x + math.sqrt(1 - ratio) * noises(side, device)
                x0, shift = self._guide(aim, x, i, owners, x0)
                noise = noises(side, device) if self.eta > 0 and i > 0 else None
                x = shift + stochastic_step(
                    x, x0, abar=s.abar[i], abar_prev=s.abar_prev(i), eta=self.eta, noise=noise
                )
        images = x.clamp(-1, 1)
        energies = aim.energies(images, owners).view(p, u)
        weights.see(energies)
        chosen = weights.choose()[None] if p > 1 else torch.zeros(1, u, dtype=torch.long)
        chosen = chosen.to(device)
        return self._rows(images, chosen), energies.gather(0, chosen)[0]

    def _rows(self, x: Tensor, particles: Tensor) -> Tensor:
        """The images [q * u * b, ...] of these particles [q, u] of each unit."""
        parts = x.view(-1, particles.shape[1], self.unit, *x.shape[1:])
        which = torch.arange(particles.shape[1], device=x.device).expand_as(particles)
        return parts[particles, which].flatten(0, 2)

    def _clean(self, x: Tensor, i: int) -> Tensor:
        """The predicted clean image x0_hat at step i."""
        eps = self.source.eps(x, self.timetable.t[i])
        return predict_x0(x, eps, self.timetable.abar[i])

    def _guide(
        self, aim: Aim, x: Tensor, i: int, owners: Sequence[int], x0: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(x0_hat, what guidance adds to x_{t-1}) at step i (TFG, Algorithm 1).

        Args:
            aim: the energy.
            x: x_t.
            i: the step.
            owners: the index of each image.
            x0: x0_hat where it is known already; it is not used where gradients pass through it.
        """
        s = self.timetable
        rate = self.strength * strengths(self.schedule, s)[i]
        if self.gradient == "network":
            with torch.enable_grad():
                leaf = x.detach().requires_grad_()
                t = torch.full((len(x),), s.t[i], device=x.device)
                eps = self.source.unet(leaf, t)[:, : x.shape[1]]
                x0 = predict_x0(leaf, eps, s.abar[i])
                (slope,) = torch.autograd.grad(aim.pulling(x0, owners), leaf)
            slope = normalised(slope) if self.normalise else slope
            return x0.detach(), -rate / math.sqrt(s.abar[i] / s.abar_prev(i)) * slope
        x0 = self._clean(x, i) if x0 is None else x0
        if self.gradient == "none":
            return x0, torch.zeros_like(x0)
        moved = x0
        for _ in range(self.iterations):
            slope = aim.gradient(moved, owners)
            moved = moved - rate * (normalised(slope) if self.normalise else slope)
        return x0, math.sqrt(s.abar_prev(i)) * (moved - x0)
