"""DomainStudio, the unconditional half: fine-tuning a diffusion model with relative distances kept.

Zhu et al., "Few-shot image generation with diffusion models", arXiv:2211.03264 (DDPM-PA), and
"DomainStudio", arXiv:2306.14153, whose unconditional objective is the same.

All weights of the source model are tuned on groups of B noised shots x_t, t and noise shared with
a frozen copy of the source. Each net gives clean estimates xh0 = (x_t - sqrt(1 - abar) eps) /
sqrt(abar); hf(.) is the sum of the three high-frequency Haar bands. For anchor i,

    p_i = softmax_{j != i} cos(xh0_i, xh0_j),   pf_i the same of hf(xh0),
    L = L_simple + l_vlb L_vlb + l_img sum_i KL(p_i^ada || p_i^src)
      + l_hf sum_i KL(pf_i^ada || pf_i^src) + l_hfmse ||hf(xh0_ada) - hf(x0)||^2.

With every l but l_vlb at 0 this is plain fine-tuning (`finetune`). The source net runs in eval mode
without gradients; the official code leaves its dropout on.

Shape legend: n = groups x B images, c channels, h height, w width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.checkpoint import Part, pack, unpack
from baselines.common.choices import check_choices
from baselines.common.diffusion import Schedule, ancestral_loop, ddim_loop, linear_abar
from baselines.common.ema import Average
from baselines.common.team import add_gradients, own_parts
from baselines.common.unet import DiffusionSource
from baselines.common.variational import Tables, at, clean_estimate, variational_bound
from fsig_bench.seeding import ImageGenerators, generator
from fsig_bench.types import Images, Progress, Sampler, State


def high_frequency(x: Tensor) -> Tensor:
    """LH + HL + HH of one Haar level, [n, c, h, w] -> [n, c, h / 2, w / 2].

    The bands are added, so that one kernel does it: of the block [[a, b], [c, d]],
    (-a - b - c + 3 d) / 2.
    """
    kernel = x.new_tensor([[-0.5, -0.5], [-0.5, 1.5]]).expand(x.shape[1], 1, 2, 2)
    return F.conv2d(x, kernel.contiguous(), stride=2, groups=x.shape[1])


def log_relations(x: Tensor, group: int) -> Tensor:
    """The log p_i(j), [groups, B, B - 1]: log-softmax over j != i of cosine similarities."""
    flat = F.normalize(x.flatten(1), dim=1).view(-1, group, x[0].numel())
    cosine = flat @ flat.transpose(1, 2)
    others = ~torch.eye(group, dtype=torch.bool, device=x.device)
    return cosine[:, others].view(-1, group, group - 1).log_softmax(2)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights and readings of the loss; presets in conf/method/objective/."""

    l_vlb: float  # on L_t of the drawn step, in bits
    l_img: float
    l_hf: float
    l_hfmse: float
    kl_reduction: Literal["sum", "mean"]  # mean: over all B (B - 1) entries, as in the code
    kl_direction: Literal["ada_src", "src_ada"]  # KL(ada || src), as in the paper, or the reverse
    pair_t: Literal["per_image", "shared"]  # one step per image or per group

    def __post_init__(self) -> None:
        check_choices(self)

    @property
    def needs_source(self) -> bool:
        return self.l_img > 0 or self.l_hf > 0

    def divergence(self, ada: Tensor, src: Tensor) -> Tensor:
        """KL between log relations, averaged over groups."""
        p, q = (ada, src) if self.kl_direction == "ada_src" else (src, ada)
        each = (p.exp() * (p - q)).mean(0)
        return each.sum() if self.kl_reduction == "sum" else each.mean()

    def __call__(
        self,
        out: Tensor,
        out_src: Tensor | None,
        x0: Tensor,
        x_t: Tensor,
        noise: Tensor,
        t: Tensor,
        tables: Tables,
        group: int,
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss and its terms for network outputs [n, 6, h, w] of both nets at the same x_t, t."""
        terms = {"simple": (out[:, :3] - noise).square().mean()}
        bound = variational_bound(out, x0, x_t, t, tables, clip=False)
        terms["vlb"] = self.l_vlb * bound.mean()
        ada = clean_estimate(out[:, :3], x_t, t, tables)
        if out_src is not None:
            src = clean_estimate(out_src[:, :3], x_t, t, tables)
            pairs = [(self.l_img, "img", ada, src)]
            pairs.append((self.l_hf, "hf", high_frequency(ada), high_frequency(src)))
            for weight, name, a, s in pairs:
                kl = self.divergence(log_relations(a, group), log_relations(s, group))
                terms[name] = weight * kl
        if self.l_hfmse > 0:
            gap = high_frequency(ada) - high_frequency(x0)
            terms["hfmse"] = self.l_hfmse * gap.square().mean()
        return torch.stack(list(terms.values())).sum(), {
            k: float(v.detach()) for k, v in terms.items()
        }


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings that change the samples but not the weights."""

    kind: Literal["ddim", "ancestral"]
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
        passes = 1 + self.objective.needs_source
        return self.iterations * self.groups * self.group_size * passes

    def batch(self, shots: Images, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """(x0, t, noise) of a step: groups of distinct shots, repeated where they are fewer."""
        g = generator(seed, "domainstudio", step)
        k, b = len(shots), self.group_size
        rounds = -(-b // k)
        picks = [
            torch.cat([torch.randperm(k, generator=g) for _ in range(rounds)])[:b]
            for _ in range(self.groups)
        ]
        x0 = shots[torch.cat(picks)]
        flip = torch.rand(len(x0), 1, 1, 1, generator=g) < self.flip
        t = torch.randint(1000, (self.groups, b), generator=g)
        if self.objective.pair_t == "shared":
            t = t[:, :1].expand(-1, b)
        noise = torch.randn(x0.shape, generator=g)
        return torch.where(flip, x0.flip(3), x0), t.flatten(), noise

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Tunes every weight for `iterations` steps; fixed, since nothing may choose a stop."""
        device, source = self.source.device, self.source.unet
        torch.manual_seed(seed)  # dropout, where the network has any
        net = copy.deepcopy(source).requires_grad_(True).train()
        if self.checkpointing:
            net.net.enable_gradient_checkpointing()  # type: ignore[operator]
        average = Average.of(net)
        adam = torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        parts: dict[str, Part] = {"net": net, "average": average, "adam": adam}
        done, kept = progress.load()
        unpack(kept, parts if done else {})
        tables = Tables.of(linear_abar())
        for step in range(done, self.iterations):
            adam.zero_grad(set_to_none=True)
            logged: dict[str, float] = {}
            parts_now = own_parts(self.batch(shots, seed, step), self.groups, self.groups_at_once)
            own = sum(len(x0) for x0, _, _ in parts_now)
            for part in parts_now:
                x0, t, noise = (a.to(device) for a in part)
                x_t = at(tables.abar, t).sqrt() * x0 + (1 - at(tables.abar, t)).sqrt() * noise
                x_t = x_t.contiguous(memory_format=torch.channels_last)
                out_src = None
                if self.objective.needs_source:
                    with torch.no_grad():
                        out_src = source(x_t, t)
                value, terms = self.objective(
                    net(x_t, t), out_src, x0, x_t, noise, t, tables, self.group_size
                )
                if not torch.isfinite(value):
                    raise FloatingPointError(f"loss {terms} at step {step}; lower lr={self.lr}")
                # Every term is a mean over groups, so their shares add up to the step's gradient.
                share = len(x0) / (self.groups * self.group_size)
                (value if share == 1 else value * share).backward()
                logged = {k: logged.get(k, 0.0) + len(x0) / own * v for k, v in terms.items()}
            add_gradients(net.parameters())
            adam.step()
            average.follow(net, keep=self.ema_keep)
            progress.report(step + 1, self.iterations, **logged)
            progress.save(step + 1, pack(parts))
        final = average.tensors if self.final == "ema" else net.state_dict()
        return State(
            tensors={k: v.detach().cpu().contiguous() for k, v in final.items()},
            seed=seed,
            trained_params=sum(p.numel() for p in net.parameters()),
            nfe_adapt=self.planned_nfe(len(shots)),
        )

    def sampler(self, state: State) -> Sampler:
        """Image i is denoised from its own Gaussian noise by the tuned net."""
        net = copy.deepcopy(self.source.unet)
        net.load_state_dict(state.tensors)
        schedule = Schedule.respaced(self.sample.num_steps)

        @torch.no_grad()
        def draw(indices: Sequence[int]) -> Images:
            side, device = self.source.resolution, self.source.device
            random = ImageGenerators(state.seed, indices, "domainstudio", "sample")
            x = random.randn(3, side, side).to(device)
            if self.sample.kind == "ddim":
                x = ddim_loop(net.eps, x, schedule)
            else:
                x = ancestral_loop(net, x, schedule, lambda: random.randn(3, side, side))
            return x.clamp(-1, 1).cpu()

        return draw
