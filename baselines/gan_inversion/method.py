"""GAN inversion as a few-shot generator; the method is told in the package's docstring."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baselines.common.checkpoint import Part, pack, unpack
from baselines.common.finetuning import read, trainable_copy
from baselines.common.stylegan2 import StyleGenerator, StyleSource
from baselines.common.wspace import WSpace, w_space
from baselines.gan_inversion.projector import Projector, project
from baselines.gan_inversion.samplers import Sampling, draw_styles
from fsig_bench.api import (
    ImageGenerators,
    Images,
    Perceptual,
    Progress,
    Sampler,
    State,
    generator,
    upload,
)

MAPS = "maps/"  # a shot's own noise maps in a state


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """S7: pivotal tuning of the generator on all k pivots (PTI, arXiv:2106.05744, section 3.2)."""

    steps: int  # 0: the generator stays
    lr: float
    lpips_weight: float
    mse_weight: float


@dataclass(frozen=True)
class After:
    """A second phase's view of the progress: counts from `start`, keeps `carry` beside its own."""

    progress: Progress
    start: int
    total: int
    carry: Mapping[str, Tensor]

    def report(self, done: int, total: int, **values: float) -> None:
        self.progress.report(self.start + done, self.total, **values)

    def save(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        self.progress.save(self.start + done, {**self.carry, **tensors})

    def load(self) -> tuple[int, dict[str, Tensor]]:
        done, kept = self.progress.load()
        return (done - self.start, kept) if done > self.start else (0, {})

    def shared(self, key: Sequence[object], compute: Callable[[], Tensor]) -> Tensor:
        return self.progress.shared(key, compute)


@dataclass(frozen=True, kw_only=True)
class GANInversion:
    """The method; its values stand in conf/method/gan_inversion.yaml."""

    generator: StyleSource
    perceptual: Perceptual
    projector: Projector
    tuning: Tuning
    space_count: int  # mapped codes behind the W statistics
    space_seed: int
    sample: Sampling

    nfe_per_image = 1.0

    def space(self) -> WSpace:
        """Statistics of the frozen generator; the same in every run."""
        net, device = self.generator.net, self.generator.device
        return w_space(net, self.space_count, self.space_seed, device)

    def planned_nfe(self, k: int) -> int:
        """Evaluations of the generator while adapting to k shots."""
        return k * (self.projector.steps + self.tuning.steps)

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Inverts all shots in one batch, then tunes the generator if asked to."""
        net, space = self.generator.net, self.space()
        x = shots.to(self.generator.device)
        total = self.projector.steps + self.tuning.steps
        done, kept = progress.load()
        if done > self.projector.steps:
            tensors = {k: v for k, v in kept.items() if k == "codes" or k.startswith(MAPS)}
        else:
            codes, maps = project(
                self.projector,
                net,
                space,
                x,
                self.fixed_noise(),
                self.perceptual.perceive,
                seed=seed,
                progress=After(progress, 0, total, {}),
            )
            tensors = {"codes": codes.cpu()}
            if self.projector.maps == "optimised":
                tensors |= {f"{MAPS}{n:02}": m.cpu() for n, m in enumerate(maps)}
        codes = tensors["codes"].to(x.device)
        trained = codes.numel() if self.projector.space == "w_plus" else codes[:, 0].numel()
        trained += sum(m.numel() for name, m in tensors.items() if name.startswith(MAPS))
        if self.tuning.steps:
            later = After(progress, self.projector.steps, total, tensors)
            tuned = self.tune(codes, x, later)
            tensors = tensors | {f"net/{k}": v.cpu() for k, v in tuned.state_dict().items()}
            trained += sum(p.numel() for p in tuned.parameters())
        gap = (codes - space.mean).square().sum(2).sqrt().mean()
        return State(
            tensors=tensors,
            seed=seed,
            trained_params=trained,
            nfe_adapt=self.planned_nfe(len(shots)),
            meta={
                "distance_to_mean_w": round(float(gap) / space.std, 4),  # in units of w's spread
                "strangeness": round(float(space.strangeness(codes).mean()), 4),  # prior: about 1
            },
        )

    def fixed_noise(self) -> list[Tensor]:
        """One set of noise maps for inversion and samples alike: fresh ones alone add diversity."""
        g = generator(self.space_seed, "gan_inversion", "noise")
        return [n.to(self.generator.device) for n in self.generator.net.noise(1, g)]

    def tune(self, codes: Tensor, x: Tensor, progress: Progress) -> StyleGenerator:
        """A copy of the generator that draws the shots at their pivots."""
        net = trainable_copy(self.generator.net).requires_grad_(True)
        adam = torch.optim.Adam(net.parameters(), lr=self.tuning.lr)
        parts: dict[str, Part] = {"tuned": net, "adam": adam}
        done, kept = progress.load()
        unpack(kept, parts if done else {})
        noise = self.fixed_noise()
        with torch.no_grad():
            target = self.perceptual.perceive(x)
        for step in range(done, self.tuning.steps):
            fake = net.synthesis(codes, noise)
            lpips = (self.perceptual.perceive(fake) - target).square().sum(1).mean()
            value = self.tuning.lpips_weight * lpips
            value = value + self.tuning.mse_weight * (fake - x).square().mean()
            adam.zero_grad(set_to_none=True)
            value.backward()
            adam.step()
            told = read({"lpips": lpips.detach(), "loss": value.detach()})
            if not math.isfinite(told["loss"]):
                raise FloatingPointError(f"tuning loss {told['loss']}; lower lr={self.tuning.lr}")
            progress.report(step + 1, self.tuning.steps, lpips=told["lpips"])
            progress.save(step + 1, pack(parts))
        return net.requires_grad_(False)

    def network(self, state: State) -> StyleGenerator:
        """The generator of a state: the tuned one where there is one."""
        own: dict[str, Any] = {k[4:]: v for k, v in state.tensors.items() if k.startswith("net/")}
        if not own:
            return self.generator.net
        net = trainable_copy(self.generator.net)
        net.load_state_dict(own)
        return net

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i comes from a code drawn around the shots' codes."""
        net, space, fixed = self.network(state), self.space(), self.fixed_noise()
        device, codes = self.generator.device, state.tensors["codes"].to(self.generator.device)

        @torch.no_grad()
        def images_at(indices: Sequence[int]) -> Images:
            styles = draw_styles(self.sample, net, space, codes, draw, indices)
            noise = fixed
            if self.sample.fresh_noise:
                random = ImageGenerators(draw, indices, "gan_inversion", "maps")
                noise = [upload(random.randn(1, *n.shape[2:]), device) for n in fixed]
            return net.synthesis(upload(styles, device), noise).clamp(-1, 1).cpu()

        return images_at

    @torch.no_grad()
    def reconstruct(self, state: State) -> Images:
        """The shots as drawn from their codes, and from their own noise maps where there are some.

        Samples and the tuned generator take the fixed maps: samples of a shot with its own maps
        would share their texture.
        """
        net, device = self.network(state), self.generator.device
        noise = [v.to(device) for k, v in sorted(state.tensors.items()) if k.startswith(MAPS)]
        if self.tuning.steps or not noise:
            noise = self.fixed_noise()
        return net.synthesis(state.tensors["codes"].to(device), noise).clamp(-1, 1).cpu()
