"""What holds the generator to the source while it adapts: the terms of EWC, CDC and DCL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.common.adversarial import generator_loss
from baselines.common.critic import Critic
from baselines.common.stylegan2 import StyleGenerator
from baselines.gan_adapt.maps import critic_maps, generator_maps
from baselines.gan_adapt.objective import (
    Objective,
    contrast,
    contrast_with_codes,
    distance_consistency,
    log_similarities,
    weight_penalty,
)
from fsig_bench.api import Images, upload


def fresh_noise(net: StyleGenerator, n: int, g: torch.Generator) -> list[Tensor]:
    """Noise maps of n images, drawn on the CPU, on the network's device."""
    return [upload(m, net.const.device) for m in net.noise(n, g)]


@dataclass(frozen=True, kw_only=True)
class Ties:
    """The source, and how the objective holds to it."""

    objective: Objective
    source: StyleGenerator  # frozen
    fisher: Mapping[str, Tensor]  # by parameter; {} where no weight is held

    def __call__(
        self, net: StyleGenerator, critic: Critic, real: Images, g: torch.Generator
    ) -> dict[str, Tensor]:
        """The weighted terms by name; none for methods that hold to nothing.

        Args:
            net: the generator that is trained.
            critic: its critic, whose weights take no gradient here.
            real: the step's shots [n, 3, r, r].
            g: the step's random numbers.
        """
        o, out = self.objective, dict[str, Tensor]()
        if o.ewc_weight > 0:
            own, frozen = dict(net.named_parameters()), dict(self.source.named_parameters())
            out["ewc"] = o.ewc_weight * weight_penalty(own, frozen, self.fisher)
        if not o.needs_source:
            return out
        z = torch.randn(o.relation_batch, net.arch.style_dim, generator=g).to(net.const.device)
        # CDC's code draws from all maps but the coarsest.
        layers = torch.randint(1, net.arch.num_styles - 1, (len(z),), generator=g).tolist()
        noise = fresh_noise(self.source, len(z), g)
        with torch.no_grad():
            source = generator_maps(self.source, self.source.repeat(self.source.mapping(z)), noise)
        styles = net.repeat(net.mapping(z))
        maps = generator_maps(net, styles, fresh_noise(net, len(z), g))
        if o.distance_weight > 0:
            logs = [log_similarities(each, layers) for each in (maps, source)]
            out["distance"] = o.distance_weight * distance_consistency(*logs)
        if o.contrast_weight > 0:
            pair = maps[layers[0]], source[layers[0]]
            out["contrast"] = o.contrast_weight * contrast_with_codes(*pair, o.temperature)
        if o.needs_source_images:
            apart = self.critic_contrast(net, critic, z, real, g)
            out["critic_contrast"] = o.critic_contrast_weight * apart
        return out

    def critic_contrast(
        self, net: StyleGenerator, critic: Critic, z: Tensor, real: Images, g: torch.Generator
    ) -> Tensor:
        """DCL's second term: towards the source's image of the same code, away from the shots."""
        images = net.synthesis(net.repeat(net.mapping(z)), fresh_noise(net, len(z), g))
        with torch.no_grad():
            source = self.source
            styles = source.repeat(source.mapping(z))
            before = source.synthesis(styles, fresh_noise(source, len(z), g))
        own, partner, shots = (critic_maps(critic, x) for x in (images, before, real))
        layer = int(torch.randint(len(own), (), generator=g))
        return contrast(own[layer], partner[layer], shots[layer], self.objective.temperature)


class Whole(nn.Module):
    """From z to images in one call, whose weights can be handed in."""

    def __init__(self, net: StyleGenerator) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, noise: Sequence[Tensor]) -> Tensor:
        images: Tensor = self.net(self.net.repeat(self.net.mapping(z)), noise)
        return images


def fisher_information(
    net: StyleGenerator, critic: Critic, count: int, g: torch.Generator
) -> dict[str, Tensor]:
    """Mean over `count` generated images of the squared gradient of log sigmoid(D(G(z))).

    The diagonal of the Fisher information with the critic in the place of a likelihood
    (arXiv:2012.02780), for every parameter of a frozen generator.
    """
    own = {f"net.{k}": p.detach().clone().requires_grad_(True) for k, p in net.named_parameters()}
    total = [torch.zeros_like(p) for p in own.values()]
    whole = Whole(net)
    for _ in range(count):
        z = torch.randn(1, net.arch.style_dim, generator=g).to(net.const.device)
        inputs = (z, fresh_noise(net, 1, g))
        image: Tensor = torch.func.functional_call(whole, own, inputs)
        grads = torch.autograd.grad(generator_loss(critic(image)), list(own.values()))
        torch._foreach_add_(total, [grad.square() for grad in grads])
    means = [each / count for each in total]
    return {k.removeprefix("net."): v for k, v in zip(own, means, strict=True)}
