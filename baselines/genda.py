"""GenDA: codes learnt at inference time, after Mondal et al., ICLR 2023.

"Few-shot cross-domain image generation via inference-time latent-code learning", which the CRDI
paper calls GenDA; the GenDA of arXiv:2111.09876 is another method.

No weights of the generator are tuned and nothing is inverted. For every k images a small net M is
trained from scratch; it maps random codes to W+, one style at a time,

    w_j = M([u_j, a_j]),  u, a ~ N(0, I) [k, l, d],

against a critic D that starts from the source model's, and a style loss on Gram matrices. Update i
of n has three steps: D's logistic loss; M's non-saturating loss, weight 5 (1 - i / n); for the
codes, 50 sum_l ||Gram_l(G(w_j)) - Gram_l(x_r)||^2 / size with a shot r drawn at random. Then the k
codes give k images.

The official code reuses noise and codes between processes and episodes; here image j belongs to
episode j // k, whose every draw comes from (seed, episode).

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
from fsig_bench.assets import verified
from fsig_bench.images import upload
from fsig_bench.seeding import ImageGenerators, derive, generator
from fsig_bench.types import Images, Progress, Sampler, State, Trunk


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
    style_steps: Literal["each", "together"]  # a step for each code in turn, or one for all

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
        return load_critic(verified(self.generator.weights)).to(self.generator.device)

    def styles(self, shots: Images, seed: int, episode: int) -> Tensor:
        """The k codes [k, l, d] that an episode ends with."""
        net, device, k = self.generator.net, self.generator.device, len(shots)
        g = generator(seed, "genda", episode)
        codes = torch.randn(k, net.arch.num_styles, 2 * net.arch.style_dim, generator=g).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "genda", "weights", episode))
            mapper = LatentNet(net.arch.style_dim).to(device)
        critic = self.critic()
        betas = (self.betas[0], self.betas[1])
        adam_m = torch.optim.Adam(mapper.parameters(), lr=self.lr, betas=betas)
        adam_d = torch.optim.Adam(critic.parameters(), lr=self.lr, betas=betas)
        with torch.no_grad():
            goals = [gram(m) for m in self.perceptual.trunk(shots)]

        def pick() -> Tensor:
            return torch.randint(k, (self.batch,), generator=g)

        def fake(rows: Tensor) -> Tensor:
            noise = [a.to(device) for a in net.noise(len(rows), g)]
            return net.synthesis(mapper(codes[rows]), noise)

        for i in range(self.updates):
            with torch.no_grad():
                drawn = fake(pick())
            loss_d = F.softplus(critic(drawn)).mean() + F.softplus(-critic(shots[pick()])).mean()
            adam_d.zero_grad(set_to_none=True)
            loss_d.backward()
            adam_d.step()

            weight = self.adversarial_weight * (1 - i / self.updates)
            self._step(adam_m, weight * F.softplus(-critic(fake(pick()))).mean(), episode)

            order = torch.randperm(k, generator=g)
            for rows in [order] if self.style_steps == "together" else order.split(1):
                toward = torch.randint(k, (len(rows),), generator=g)
                maps = self.perceptual.trunk(fake(rows))
                gaps = [
                    (gram(m) - goal[toward]).square().mean()
                    for m, goal in zip(maps, goals, strict=True)
                ]
                self._step(adam_m, self.style_weight * torch.stack(gaps).sum(), episode)
        with torch.no_grad():
            out: Tensor = mapper(codes)
        return out

    def _step(self, adam: torch.optim.Optimizer, loss: Tensor, episode: int) -> None:
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"loss {float(loss.detach())} in episode {episode}; lower method.lr={self.lr}"
            )
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    def sampler(self, state: State) -> Sampler:
        """Image i is code i % k of episode i // k."""
        net, device = self.generator.net, self.generator.device
        shots = state.tensors["shots"].to(device)
        k, last = len(shots), dict[int, Tensor]()

        def draw(indices: Sequence[int]) -> Images:
            rows = []
            for i in indices:
                if i // k not in last:
                    last.clear()
                    last[i // k] = self.styles(shots, state.seed, i // k)
                rows.append(last[i // k][i % k])
            random = ImageGenerators(state.seed, indices, "genda")
            noise = [upload(random.randn(1, s, s), device) for s in net.arch.noise_sides]
            with torch.no_grad():
                return net.synthesis(torch.stack(rows), noise).clamp(-1, 1).cpu()

        return draw
