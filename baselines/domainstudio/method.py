"""DomainStudio: tuning every weight of the source model on groups of shots, then sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from baselines.common.checkpoint import Part, pack, unpack
from baselines.common.choices import check_choices
from baselines.common.data_parallel import add_gradients, shard_groups
from baselines.common.diffusion import Schedule, ancestral_loop, respaced_timesteps, solve
from baselines.common.dropout import by_image
from baselines.common.ema import Average
from baselines.common.finetuning import distinct, read, trainable_copy
from baselines.common.unet import DiffusionSource, PixelUNet
from baselines.common.variational import Tables, noised
from baselines.domainstudio.objective import Objective
from baselines.domainstudio.prior import Prior, SamplerKind
from fsig_bench.api import (
    ImageGenerators,
    Images,
    Progress,
    Sampler,
    State,
    derive,
    generator,
    upload,
)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings that change the samples but not the weights."""

    kind: SamplerKind
    num_steps: int

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True, kw_only=True)
class DomainStudio:
    """The method; its values stand in conf/method/domainstudio.yaml."""

    source: DiffusionSource
    objective: Objective
    iterations: int
    groups: int  # groups a step; official: one per GPU
    group_size: int  # B
    lr: float
    weight_decay: float
    flip: float  # probability
    final: Literal["raw", "ema"]
    ema_keep: float
    groups_at_once: int | None  # fewer take less memory; the step is the same up to rounding
    checkpointing: bool  # activations are computed again in the backward pass
    sample: Sampling
    prior: Prior | None  # the second term of method/objective=prior_preservation
    adapts_in_team = True  # groups are shared out, gradients added

    def __post_init__(self) -> None:
        check_choices(self)
        if self.group_size < 2:
            raise ValueError(f"group_size={self.group_size}: relative distances need at least 2")
        if self.groups_at_once is not None and self.groups_at_once < 1:
            raise ValueError(f"groups_at_once={self.groups_at_once}: give at least 1, or null")

    @property
    def nfe_per_image(self) -> float:
        """One evaluation a step."""
        return self.sample.num_steps

    def planned_nfe(self, k: int) -> int:
        """Network evaluations of adapting to k shots; the frozen net's count too."""
        passes = 1 + self.objective.needs_source + (self.prior is not None)
        drawn = self.prior.images * self.prior.num_steps if self.prior else 0
        return drawn + self.iterations * self.groups * self.group_size * passes

    @property
    def rate(self) -> float:
        """Of the optimiser."""
        return self.lr

    def network(self, seed: int) -> PixelUNet:
        """A copy of the source model in which what is fitted requires gradients: all of it."""
        return trainable_copy(self.source.unet).requires_grad_(True)

    def kept(self, net: PixelUNet, final: dict[str, Tensor]) -> dict[str, Tensor]:
        """What of the final tensors the state holds: all of them."""
        return final

    def restored(self, state: State) -> PixelUNet:
        """The tuned network of a state."""
        net = trainable_copy(self.source.unet)
        net.load_state_dict(state.tensors)
        return net

    def batch(self, shots: Images, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """(x0, t, noise) of a step: groups of distinct shots, repeated where they are fewer."""
        g = generator(seed, "domainstudio", step)
        b = self.group_size
        picks = [distinct(b, len(shots), g) for _ in range(self.groups)]
        x0 = shots[torch.cat(picks)]
        flip = torch.rand(len(x0), 1, 1, 1, generator=g) < self.flip
        t = torch.randint(len(self.source.abar), (self.groups, b), generator=g)
        if self.objective.pair_t == "shared":
            t = t[:, :1].expand(-1, b)
        noise = torch.randn(x0.shape, generator=g)
        return torch.where(flip, x0.flip(3), x0), t.flatten(), noise

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Tunes every weight for `iterations` steps; fixed, since nothing may choose a stop."""
        respaced_timesteps(self.sample.num_steps, len(self.source.abar))  # refuses a bad count
        device, source = self.source.device, self.source.unet
        if source.heads == 1 and (self.objective.l_vlb > 0 or self.sample.kind == "ancestral"):
            raise ValueError(
                "the source model has no variance head: set method.objective.l_vlb=0 and "
                "method.sample.kind=ddim"
            )
        net = self.network(seed).train()
        dropping = by_image(net)
        if self.checkpointing:
            net.net.enable_gradient_checkpointing()  # type: ignore[operator]
        fitted = [p for p in net.parameters() if p.requires_grad]
        adam = torch.optim.AdamW(fitted, lr=self.rate, weight_decay=self.weight_decay)
        parts: dict[str, Part] = {"net": net, "adam": adam}
        average = Average.of(net) if self.final == "ema" else None
        if average:
            parts["average"] = average
        done, kept = progress.load()
        unpack(kept, parts if done else {})
        drawn = {"prior": kept["prior"]} if "prior" in kept else self.draw_prior(seed)
        if self.prior and not done:
            progress.save(0, drawn)
        tables = Tables.of(self.source.abar).to(device)
        every = torch.arange(self.groups * self.group_size)
        for step in range(done, self.iterations):
            adam.zero_grad(set_to_none=True)
            logged: dict[str, Tensor] = {}
            batch = (*self.batch(shots, seed, step), every)
            prior = self.prior and self.prior.batch(
                drawn["prior"], seed, step, count=len(every), steps=len(self.source.abar)
            )
            microbatches = shard_groups(batch, self.groups, self.groups_at_once)
            own = sum(len(rows) for *_, rows in microbatches)
            for *values, rows in microbatches:
                own_seeds = [derive(seed, "domainstudio", step, i) for i in rows.tolist()]
                dropping.values = torch.tensor(own_seeds)
                x0, t, noise = (upload(a, device) for a in values)
                x_t = noised(x0, noise, t, tables).contiguous(memory_format=torch.channels_last)
                out_src = None
                if self.objective.needs_source:
                    with torch.no_grad():
                        out_src = source(x_t, t)
                value, terms = self.objective(
                    net(x_t, t), out_src, x0, x_t, noise, t, tables, self.group_size
                )
                # Every term is a mean over groups, so their shares add up to the step's gradient.
                share = len(x0) / len(every)
                (value if share == 1 else value * share).backward()
                if self.prior and prior:
                    # A backward pass of its own: recomputed activations read the dropout's seeds.
                    term = self.prior.term(net, dropping, prior, rows, tables)
                    (term if share == 1 else term * share).backward()
                    terms = terms | {"prior": term.detach()}
                logged = {k: logged.get(k, 0.0) + len(x0) / own * v for k, v in terms.items()}
            losses = read(logged)
            if not all(map(math.isfinite, losses.values())):
                raise FloatingPointError(f"loss {losses} at step {step}; lower lr={self.lr}")
            add_gradients(fitted)
            adam.step()
            if average:
                average.follow(net, keep=self.ema_keep)
            progress.report(step + 1, self.iterations, **losses)
            progress.save(step + 1, pack(parts) | drawn)
        final = self.kept(net, average.tensors if average else net.state_dict())
        return State(
            tensors={k: v.detach().cpu().contiguous() for k, v in final.items()},
            seed=seed,
            trained_params=sum(p.numel() for p in fitted),
            nfe_adapt=self.planned_nfe(len(shots)),
        )

    def draw_prior(self, seed: int) -> dict[str, Tensor]:
        """Samples of the source model, uint8 under "prior"; nothing where no term needs them."""
        if self.prior is None:
            return {}
        kind, num_steps = self.prior.kind, self.prior.num_steps
        source = self.sampler_of(self.source.unet, seed, "prior", kind, num_steps)
        return {"prior": self.prior.draw(source)}

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is denoised from its own Gaussian noise by the tuned net."""
        kind, num_steps = self.sample.kind, self.sample.num_steps
        return self.sampler_of(self.restored(state), draw, "sample", kind, num_steps)

    def sampler_of(
        self, net: PixelUNet, seed: int, purpose: str, kind: SamplerKind, num_steps: int
    ) -> Sampler:
        """Of any network: image i from the noise of (seed, i, purpose)."""
        table = self.source.abar

        @torch.no_grad()
        def images_at(indices: Sequence[int]) -> Images:
            side, device = self.source.resolution, self.source.device
            random = ImageGenerators(seed, indices, "domainstudio", purpose)
            x = upload(random.randn(3, side, side), device)
            if kind == "ancestral":
                steps = Schedule.respaced(num_steps, table)
                x = ancestral_loop(net, x, steps, lambda: random.randn(3, side, side))
            else:
                x = solve(kind, net.eps, x, num_steps=num_steps, table=table)
            return x.clamp(-1, 1).cpu()

        return images_at
