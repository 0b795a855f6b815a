"""GenDA: codes learnt at inference time, after Mondal et al., ICLR 2023.

"Few-shot cross-domain image generation via inference-time latent-code learning", which the CRDI
paper calls GenDA; the GenDA of arXiv:2111.09876 is another method. No weights of the generator are
tuned and nothing is inverted. For every k images a small net M is trained from scratch; it maps
random codes to W+, one style at a time,

    w_jr = M([u_j, a_r]),  u, a ~ N(0, I) [k, l, d],

against a critic D that starts from the source model's, and a style loss on Gram matrices. Update i
of n: D's logistic loss, then M's non-saturating loss with weight 5 (1 - i / n), both on w_jr with j
and r drawn apart; then for each j in turn 50 sum_l ||Gram_l(G(w_jr)) - Gram_l(x_r)||^2 / size with
a shot r drawn at random, so that a_r comes to stand for the style of shot r. Then w_jj, j = 1..k,
give k images. With style_steps=together, ours and cheaper, the halves stay paired throughout, and
one style step takes every code towards a shot drawn at random.

The official code reuses noise and codes between processes and episodes; here image j belongs to
episode j // k, whose every random number comes from (draw, episode). Episodes know nothing of each
other, so e of them are trained at once.

Shape legend: e episodes, k shots, l styles, d style width, b images of an adversarial step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.common.choices import check_choices
from baselines.common.critic import Critic, load_critic
from baselines.common.ensemble import Together
from baselines.common.stylegan2 import StyleSource
from fsig_bench.api import (
    ImageGenerators,
    Images,
    Progress,
    Sampler,
    State,
    Trunk,
    compiled,
    derive,
    generator,
    upload,
)


class LatentNet(nn.Module):
    """Three fully connected layers, 2 d -> d -> d -> d, on the last axis."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2 * d, d), nn.Linear(d, d), nn.Linear(d, d)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.01)
        out: Tensor = self.layers[-1](x)
        return out


def gram(maps: Tensor) -> Tensor:
    """Channel products of each image's map [n, c, h, w] over its size, [n, c, c]."""
    n, c, h, w = maps.shape
    flat = maps.reshape(n, c, h * w)
    return flat @ flat.transpose(1, 2) / (c * h * w)


def descend(adam: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step down a loss."""
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()


@dataclass(frozen=True, kw_only=True)
class Learners:
    """What episodes train, e at once."""

    mapper: Together  # of `LatentNet`
    critic: Together  # of `Critic`
    source_critic: Mapping[str, Tensor]
    d: int

    def begin(self, seeds: Sequence[int]) -> None:
        """Fresh nets from their seeds; critics as the source model's."""
        fresh = []
        with torch.random.fork_rng(devices=[]):
            for seed in seeds:
                torch.manual_seed(seed)
                fresh.append(LatentNet(self.d).state_dict())
        self.mapper.put(fresh)
        self.critic.put([self.source_critic] * len(seeds))


@dataclass(frozen=True, kw_only=True)
class GenDA:
    """The method; its values stand in conf/method/genda.yaml."""

    generator: StyleSource
    perceptual: Trunk
    updates: int  # an episode
    batch: int  # b
    lr: float
    betas: Sequence[float]
    adversarial_weight: float  # falls linearly to 0
    style_weight: float
    style_steps: Literal["each", "together"]  # official, or one step for all codes
    episodes_at_once: int  # more take fewer launches and more memory; the same up to rounding

    def __post_init__(self) -> None:
        check_choices(self)
        if self.episodes_at_once < 1:
            raise ValueError(f"episodes_at_once={self.episodes_at_once}: give at least 1")

    @property
    def nfe_per_image(self) -> float:
        """At one shot; a state's notes hold the number at its own k."""
        return self.evaluations(1)

    def evaluations(self, k: int) -> float:
        """Generator evaluations behind one image."""
        return (self.updates * (2 * self.batch + k) + k) / k

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Nothing to do before sampling: the state is the shots."""
        d, k = self.generator.net.arch.style_dim, len(shots)
        return State(
            tensors={"shots": shots.contiguous()},
            seed=seed,
            trained_params=sum(
                v.numel() for v in (*LatentNet(d).parameters(), *self.source_critic().parameters())
            ),
            nfe_adapt=0,
            meta={"nfe_per_image": round(self.evaluations(k), 1)},
        )

    def source_critic(self) -> Critic:
        """The critic that each episode begins with, and trains."""
        return load_critic(*self.generator.critic_parts())

    def learners(self) -> Learners:
        """Room for the networks of `episodes_at_once` episodes."""
        d, device = self.generator.net.arch.style_dim, self.generator.device
        critic = self.source_critic().to(device)
        nets = LatentNet(d).to(device), critic
        mapper, critics = (compiled(Together(net, self.episodes_at_once)) for net in nets)
        return Learners(mapper=mapper, critic=critics, source_critic=critic.state_dict(), d=d)

    def noise(self, n: int, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """Noise maps for n images of each episode, [e n, 1, side, side]; one upload for all."""
        net = self.generator.net
        rows = [torch.cat([m.flatten(1) for m in net.noise(n, g)], 1) for g in generators]
        sides = net.arch.noise_sides
        parts = upload(torch.cat(rows), self.generator.device).split([s * s for s in sides], 1)
        return [p.reshape(-1, 1, s, s) for p, s in zip(parts, sides, strict=True)]

    def styles(self, shots: Tensor, draw: int, episodes: Sequence[int], own: Learners) -> Tensor:
        """The k codes [e, k, l, d] that each of e episodes ends with."""
        net, device, k, e = self.generator.net, self.generator.device, len(shots), len(episodes)
        gs = [generator(draw, "genda", episode) for episode in episodes]
        shape = (k, net.arch.num_styles, 2 * net.arch.style_dim)
        codes = torch.stack([torch.randn(shape, generator=g) for g in gs]).to(device)
        own.begin([derive(draw, "genda", "weights", episode) for episode in episodes])
        betas = (self.betas[0], self.betas[1])
        adam_m = torch.optim.Adam(own.mapper.parameters(), lr=self.lr, betas=betas)
        adam_d = torch.optim.Adam(own.critic.parameters(), lr=self.lr, betas=betas)
        with torch.no_grad():
            goals = [gram(m) for m in self.perceptual.trunk(shots)]

        together = self.style_steps == "together"
        u, aux = codes.chunk(2, 3)
        each = torch.arange(e, device=device)[:, None]

        def drawn(one: Callable[[torch.Generator], Tensor]) -> Tensor:
            return upload(torch.stack([one(g) for g in gs]), device)  # [e, ...]

        def pick() -> Tensor:
            if together or k < self.batch:
                return drawn(lambda g: torch.randint(k, (self.batch,), generator=g))
            return drawn(lambda g: torch.randperm(k, generator=g)[: self.batch])

        def fake(rows: Tensor, halves: Tensor) -> Tensor:
            noise = self.noise(rows.shape[1], gs)
            styles = own.mapper(torch.cat([u[each, rows], aux[each, halves]], 3))
            return net.synthesis(styles.flatten(0, 1), noise)

        def mixed() -> Tensor:
            rows = pick()
            return fake(rows, rows if together else pick()).unflatten(0, (e, -1))

        for i in range(self.updates):
            with torch.no_grad():
                images = mixed()
            loss_d = F.softplus(own.critic(images)).mean(1)
            loss_d = loss_d + F.softplus(-own.critic(shots[pick()])).mean(1)
            descend(adam_d, loss_d.sum())

            weight = self.adversarial_weight * (1 - i / self.updates)
            loss_m = weight * F.softplus(-own.critic(mixed())).mean(1)
            descend(adam_m, loss_m.sum())
            losses = [loss_d.detach(), loss_m.detach()]

            order = drawn(lambda g: torch.randperm(k, generator=g))
            for rows in [order] if together else order.split(1, 1):
                n = rows.shape[1]
                toward = drawn(lambda g, n=n: torch.randint(k, (n,), generator=g))  # type: ignore[misc]
                maps = self.perceptual.trunk(fake(rows, rows if together else toward))
                gaps = [
                    (gram(m) - goal[toward.flatten()]).square().view(e, -1).mean(1)
                    for m, goal in zip(maps, goals, strict=True)
                ]
                loss_m = self.style_weight * torch.stack(gaps).sum(0)
                descend(adam_m, loss_m.sum())
                losses.append(loss_m.detach())
            if not torch.isfinite(torch.stack(losses)).all():  # the update's only wait
                bad = torch.stack(losses).isfinite().all(0).logical_not().nonzero()[0, 0]
                raise FloatingPointError(
                    f"losses {torch.stack(losses)[:, bad].tolist()} in episode "
                    f"{episodes[int(bad)]}; lower method.lr={self.lr}"
                )
        with torch.no_grad():
            out: Tensor = own.mapper(codes)
        return out

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is code i % k of episode i // k."""
        net, device, at_once = self.generator.net, self.generator.device, self.episodes_at_once
        shots = state.tensors["shots"].to(device)
        k, last, own = len(shots), dict[int, Tensor](), self.learners()

        def images_at(indices: Sequence[int]) -> Images:
            rows = []
            for i in indices:
                if i // k not in last:
                    last.clear()
                    first = i // k // at_once * at_once
                    batch = range(first, first + at_once)
                    last.update(zip(batch, self.styles(shots, draw, batch, own), strict=True))
                rows.append(last[i // k][i % k])
            random = ImageGenerators(draw, indices, "genda")
            noise = [upload(random.randn(1, s, s), device) for s in net.arch.noise_sides]
            with torch.no_grad():
                return net.synthesis(torch.stack(rows), noise).clamp(-1, 1).cpu()

        return images_at
