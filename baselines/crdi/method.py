"""CRDI's two solvers and its sampler; the method is told in the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from baselines.common.choices import check_choices
from baselines.common.diffusion import Schedule, guidance_gains, guided_step, q_sample
from baselines.common.unet import DiffusionSource
from baselines.crdi.objective import (
    adam_step,
    count_strata,
    loss,
    noise_for,
    optimum,
    residual_sd,
    residuals,
    shot_of,
    split_window,
    stratified_steps,
)
from fsig_bench.api import ImageGenerators, Images, Progress, Sampler, State, generator, upload


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings that change the samples but not the embeddings."""

    start: Literal["noised_shot", "same_noise", "noise"]
    pick: Literal["permute_each_step", "permute_once", "own"]
    anneal_scale: float  # 0: no perturbation

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True, kw_only=True)
class CRDI:
    """The method; its values stand in conf/method/crdi.yaml."""

    source: DiffusionSource
    num_steps: int
    guidance_scale: float
    t_start: int  # first guided respaced index
    t_end: int  # one past the last
    segments: int  # eta, the degree of rigidity
    solver: Literal["closed_form", "adam"]
    penalty_weight: float
    fresh_noise: bool
    draws: int  # closed_form: noise draws per shot and index
    residual: float | Sequence[float]  # closed_form: sd of noise added, for all or each segment
    init: Literal["randn", "zeros"]  # adam
    lr: float
    epochs: int
    timestep_fraction: float
    order: Literal["high_to_low", "low_to_high"]
    shared_adam_state: bool
    sample: Sampling

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 < self.t_start < self.t_end <= self.num_steps:
            raise ValueError(
                f"guided window [{self.t_start}, {self.t_end}) must lie inside "
                f"[1, num_steps={self.num_steps}): the last steps are unguided"
            )
        if self.segments < 1 or self.draws < 1 or self.epochs < 1:
            raise ValueError(
                f"segments={self.segments}, draws={self.draws}, epochs={self.epochs}: all need >= 1"
            )
        if residual_sd(self.residual, len(self.windows)).any() and self.solver == "adam":
            raise ValueError(f"residual={self.residual}: needs solver=closed_form")

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule.respaced(self.num_steps, self.source.abar)

    @cached_property
    def windows(self) -> list[range]:
        return split_window(self.t_start, self.t_end, self.segments)

    @property
    def nfe_per_image(self) -> float:
        """One evaluation a step, from where sampling starts."""
        return self.num_steps if self.sample.start == "noise" else self.t_end

    def gains(self, i: int) -> tuple[float, float]:
        """(c0, c1) at respaced index i."""
        s = self.schedule
        return guidance_gains(abar=s.abar[i], abar_prev=s.abar_prev(i), scale=self.guidance_scale)

    def weight(self, segment: range) -> float:
        """mean_i (c0^2 + c1^2) over a segment: the curvature of its objective."""
        return sum(c * c for i in segment for c in self.gains(i)) / len(segment)

    def planned_nfe(self, k: int) -> int:
        """Evaluations of adapting to k shots."""
        lengths = [len(segment) for segment in self.windows]
        if self.solver == "adam":
            return k * self.epochs * sum(count_strata(n, self.timestep_fraction) for n in lengths)
        # One fixed noise is the whole expectation: the objective is exact after a single draw.
        return k * (self.draws if self.fresh_noise else 1) * sum(lengths)

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Fits the SGEs of all shots in one batch."""
        x0 = shots.to(self.source.device)
        fit = self._adam if self.solver == "adam" else self._closed_form
        sge = fit(x0, seed, progress)
        if not torch.isfinite(sge).all():
            raise FloatingPointError(
                f"SGEs are not finite under solver={self.solver}; check the source or lower lr"
            )
        return State(
            tensors={"sge": sge.cpu(), "shots": shots},
            seed=seed,
            trained_params=sge.numel(),
            nfe_adapt=self.planned_nfe(len(shots)),
        )

    def _closed_form(self, x0: Tensor, seed: int, progress: Progress) -> Tensor:
        """The optimum of every segment from `draws` noise draws an index, in pairs z, -z."""
        done, kept = progress.load()
        blank = torch.zeros(len(x0), len(self.windows), *x0.shape[1:])
        pull = kept.get("pull", blank).to(x0.device)
        draws = self.draws if self.fresh_noise else 1
        eps, schedule = self.source.eps, self.schedule
        visits = [(j, i) for j, segment in enumerate(self.windows) for i in segment]
        for n, (j, i) in enumerate(visits[done:], start=done + 1):
            c0, c1 = self.gains(i)
            for d in range(draws):
                if self.fresh_noise:
                    z = noise_for(x0, seed, "draw", i, d // 2) * (-1) ** d
                    z_prev = torch.zeros_like(z)  # independent of z: only its mean counts
                else:
                    z = z_prev = noise_for(x0, seed, "fixed")
                r0, r1 = residuals(eps, x0, i, schedule, noise=z, noise_prev=z_prev)
                pull[:, j] += (c0 * r0 + c1 * r1) / (draws * len(self.windows[j]))
            progress.report(n, len(visits), unguided_mse=float(r0.square().mean()))
            progress.save(n, {"pull": pull})
        fitted = [
            optimum(pull[:, j], self.weight(segment), self.penalty_weight)
            for j, segment in enumerate(self.windows)
        ]
        sd = residual_sd(self.residual, len(self.windows)).to(x0)
        sge = torch.stack(fitted, 1) + sd * noise_for(pull, seed, "residual")
        return sge

    def _adam(self, x0: Tensor, seed: int, progress: Progress) -> Tensor:
        """The official loop: segment by segment, `epochs` Adam steps each."""
        done, kept = progress.load()
        shape = (len(x0), len(self.windows), *x0.shape[1:])
        first = noise_for(torch.empty(shape), seed, "init") * (self.init == "randn")
        sge = kept.get("sge", first).to(x0.device)
        m, v = (kept.get(k, torch.zeros(shape)).to(x0.device) for k in ("adam_m", "adam_v"))
        total = len(self.windows) * self.epochs
        for step in range(done, total):
            j, visits = self.visits(step, seed)
            part = sge[:, j].clone().requires_grad_()
            value = self.visit_loss(part, x0, seed, step)
            grad = torch.zeros_like(sge)
            (grad[:, j],) = torch.autograd.grad(value, part)
            if self.shared_adam_state:  # official: one Adam over all, finished segments drift on
                adam_step(sge, grad, m, v, count=step + 1, lr=self.lr)
            else:
                parts = (tensor[:, j] for tensor in (sge, grad, m, v))
                adam_step(*parts, count=step % self.epochs + 1, lr=self.lr)
            progress.report(step + 1, total, loss=value.item() / len(visits))
            progress.save(step + 1, {"sge": sge, "adam_m": m, "adam_v": v})
        return sge

    def visit_loss(self, part: Tensor, x0: Tensor, seed: int, step: int) -> Tensor:
        """The objective of an Adam step for the SGEs `part` of its segment, summed over visits.

        x_t does not depend on G, so no gradient passes through the network.
        """
        terms = []
        for n, i in enumerate(self.visits(step, seed)[1]):
            z, z_prev = self.noises(x0, seed, step, n)
            r0, r1 = residuals(self.source.eps, x0, i, self.schedule, noise=z, noise_prev=z_prev)
            c0, c1 = self.gains(i)
            terms.append(loss(part, r0, r1, c0=c0, c1=c1, penalty=self.penalty_weight))
        return torch.stack(terms).sum()

    def visits(self, step: int, seed: int) -> tuple[int, list[int]]:
        """Adam step -> (its segment, the respaced indices that it visits, noisiest first)."""
        j = step // self.epochs
        j = len(self.windows) - 1 - j if self.order == "high_to_low" else j
        g = generator(seed, "crdi", "steps", step)
        return j, stratified_steps(self.windows[j], self.timestep_fraction, g)[::-1]

    def noises(self, x0: Tensor, seed: int, step: int, visit: int) -> tuple[Tensor, Tensor]:
        """Noise of x_t and of y_{t-1}: independent and fresh, or one and the same throughout."""
        if not self.fresh_noise:
            return (noise_for(x0, seed, "fixed"),) * 2
        z = noise_for(x0, seed, "adam", step, visit)
        return z, noise_for(x0, seed, "adam", step, visit, "prev")

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i starts from shot i mod k; pass i div k over the shots shares its permutations."""
        # Where the network runs: at 256 px picking from them is too much for the host.
        held = {name: x.to(self.source.device) for name, x in state.tensors.items()}
        state = replace(state, tensors=held)

        def images_at(indices: Sequence[int]) -> Images:
            return self._denoise(state, indices, self.sample, draw)

        return images_at

    def reconstruct(self, state: State) -> Images:
        """Each shot rebuilt under its own SGEs, unperturbed (the paper's figure 1).

        The start takes the noise of `fresh_noise=false`. Fitted on that noise without penalty and
        with a segment a step, guidance leads along x_t = q(x_t | x0) exactly, whatever the source
        model; only the unguided last steps are the model's own.
        """
        own = Sampling(start="same_noise", pick="own", anneal_scale=0.0)
        return self._denoise(state, range(len(state.tensors["shots"])), own, 0)

    def _denoise(self, state: State, indices: Sequence[int], sample: Sampling, draw: int) -> Images:
        device, s = self.source.device, self.schedule
        sge, shots = (state.tensors[name].to(device) for name in ("sge", "shots"))
        k, segment_of = len(shots), {i: j for j, part in enumerate(self.windows) for i in part}
        random = ImageGenerators(draw, indices, "crdi", "sample")
        shot, top = [i % k for i in indices], self.num_steps - 1
        if sample.start == "same_noise":  # that of `fresh_noise=false`, in every pass
            x = noise_for(shots, state.seed, "fixed")[shot]
        else:
            x = upload(random.randn(*shots.shape[1:]), device)
        if sample.start != "noise":
            top = self.t_end - 1
            x = q_sample(shots[shot], s.abar[top], x)
        for i in range(top, -1, -1):
            guidance = None
            if i in segment_of:
                ramp = (i - self.t_start) / (self.t_end - self.t_start)
                fresh = None
                if sample.anneal_scale > 0:  # drawn while the device is still at the step above
                    fresh = upload(random.randn(*x.shape[1:]), device)
                pick = [shot_of(sample.pick, draw, n, i, k) for n in indices]
                guidance = self.guidance_scale * sge[pick, segment_of[i]]
                if fresh is not None:  # linear to 0 at t_start
                    guidance = guidance + sample.anneal_scale * ramp * fresh
            x, _ = guided_step(self.source.eps, x, i, s, guidance=guidance)
        return x.clamp(-1, 1).cpu()
