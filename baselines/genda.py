"""GenDA: codes learnt at inference time, after Mondal et al., ICLR 2023.

"Few-shot cross-domain image generation via inference-time latent-code learning", which the CRDI
paper calls GenDA; the GenDA of arXiv:2111.09876 is another method.

No weights of the generator are tuned and nothing is inverted. For every k images a small net M is
trained from scratch; it maps random codes to W+, one style at a time,

    w_jr = M([u_j, a_r]),  u, a ~ N(0, I) [k, l, d],

against a critic D that starts from the source model's, and a style loss on Gram matrices. Update i
of n: D's logistic loss, then M's non-saturating loss with weight 5 (1 - i / n), both on w_jr with j
and r drawn apart; then for each j in turn 50 sum_l ||Gram_l(G(w_jr)) - Gram_l(x_r)||^2 / size with
a shot r drawn at random, so that a_r comes to stand for the style of shot r. Then w_jj, j = 1..k,
give k images. With style_steps=together, ours and cheaper, the halves stay paired throughout, and
one style step takes every code towards a shot drawn at random.

The official code reuses noise and codes between processes and episodes; here image j belongs to
episode j // k, whose every random number comes from (draw, episode).

Shape legend: k shots, l styles, d style width, b images of an adversarial step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.common.choices import check_choices
from baselines.common.critic import Critic, load_critic
from baselines.common.stylegan2 import StyleSource
from fsig_bench.api import (
    ImageGenerators,
    Images,
    Progress,
    Sampler,
    State,
    Trunk,
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

    def __post_init__(self) -> None:
        check_choices(self)

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
            trained_params=sum(p.numel() for p in LatentNet(d).parameters()),
            nfe_adapt=0,
            meta={"nfe_per_image": round(self.evaluations(k), 1)},
        )

    def critic(self) -> Critic:
        """A trainable copy of the source model's."""
        return load_critic(*self.generator.critic_parts()).to(self.generator.device)

    def styles(self, shots: Images, draw: int, episode: int) -> Tensor:
        """The k codes [k, l, d] that an episode ends with."""
        net, device, k = self.generator.net, self.generator.device, len(shots)
        g = generator(draw, "genda", episode)
        codes = torch.randn(k, net.arch.num_styles, 2 * net.arch.style_dim, generator=g).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(draw, "genda", "weights", episode))
            mapper = LatentNet(net.arch.style_dim).to(device)
        critic = self.critic()
        betas = (self.betas[0], self.betas[1])
        adam_m = torch.optim.Adam(mapper.parameters(), lr=self.lr, betas=betas)
        adam_d = torch.optim.Adam(critic.parameters(), lr=self.lr, betas=betas)
        with torch.no_grad():
            goals = [gram(m) for m in self.perceptual.trunk(shots)]

        together = self.style_steps == "together"
        u, aux = codes.chunk(2, 2)

        def pick() -> Tensor:
            if together or k < self.batch:
                return torch.randint(k, (self.batch,), generator=g)
            return torch.randperm(k, generator=g)[: self.batch]

        def fake(rows: Tensor, halves: Tensor) -> Tensor:
            noise = [a.to(device) for a in net.noise(len(rows), g)]
            return net.synthesis(mapper(torch.cat([u[rows], aux[halves]], 2)), noise)

        def mixed() -> Tensor:
            rows = pick()
            return fake(rows, rows if together else pick())

        for i in range(self.updates):
            with torch.no_grad():
                drawn = mixed()
            loss_d = F.softplus(critic(drawn)).mean() + F.softplus(-critic(shots[pick()])).mean()
            descend(adam_d, loss_d)

            weight = self.adversarial_weight * (1 - i / self.updates)
            loss_m = weight * F.softplus(-critic(mixed())).mean()
            descend(adam_m, loss_m)
            losses = [loss_d.detach(), loss_m.detach()]

            order = torch.randperm(k, generator=g)
            for rows in [order] if together else order.split(1):
                toward = torch.randint(k, (len(rows),), generator=g)
                maps = self.perceptual.trunk(fake(rows, rows if together else toward))
                gaps = [
                    (gram(m) - goal[toward]).square().mean()
                    for m, goal in zip(maps, goals, strict=True)
                ]
                loss_m = self.style_weight * torch.stack(gaps).sum()
                descend(adam_m, loss_m)
                losses.append(loss_m.detach())
            if not torch.isfinite(torch.stack(losses)).all():  # the update's only wait
                raise FloatingPointError(
                    f"losses {torch.stack(losses).tolist()} in episode {episode}; lower "
                    f"method.lr={self.lr}"
                )
        with torch.no_grad():
            out: Tensor = mapper(codes)
        return out

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is code i % k of episode i // k."""
        net, device = self.generator.net, self.generator.device
        shots = state.tensors["shots"].to(device)
        k, last = len(shots), dict[int, Tensor]()

        def images_at(indices: Sequence[int]) -> Images:
            rows = []
            for i in indices:
                if i // k not in last:
                    last.clear()
                    last[i // k] = self.styles(shots, draw, i // k)
                rows.append(last[i // k][i % k])
            random = ImageGenerators(draw, indices, "genda")
            noise = [upload(random.randn(1, s, s), device) for s in net.arch.noise_sides]
            with torch.no_grad():
                return net.synthesis(torch.stack(rows), noise).clamp(-1, 1).cpu()

        return images_at
