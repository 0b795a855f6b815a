"""GAN adaptation as a method; what it does is told in the package's docstring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from baselines.common.checkpoint import pack, unpack
from baselines.common.choices import check_choices
from baselines.common.critic import load_critic
from baselines.common.ema import Average
from baselines.common.finetuning import distinct, read, trainable_copy
from baselines.common.stylegan2 import StyleSource
from baselines.gan_adapt.maps import freeze, patch_levels, seeded_heads
from baselines.gan_adapt.objective import Objective
from baselines.gan_adapt.regularised import Regularisation, lazy_adam
from baselines.gan_adapt.ties import Ties, fisher_information
from baselines.gan_adapt.training import Running, Training
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
class GANAdapt:
    """The method; its values stand in conf/method/gan_adapt.yaml."""

    generator: StyleSource
    objective: Objective
    regularisation: Regularisation
    length: float  # share of all that the objective counts at the paper's scale
    batch: int
    lr: float
    flip: float  # probability
    mixing: float  # probability of two codes in an image
    average_half_life: float  # steps at the paper's scale
    final: Literal["average", "raw"]  # the generator's weights that draw

    nfe_per_image = 1.0

    def __post_init__(self) -> None:
        check_choices(self)
        if not isinstance(self.objective, Objective):
            raise ValueError(
                f"method/objective is one of another method ({type(self.objective).__name__}); "
                "choose tgan, ada, freezed, ewc, cdc or dcl"
            )
        if self.length <= 0:
            raise ValueError(f"length={self.length}: give a share above 0; the papers' is 1")

    def scaled(self, count: float) -> int:
        """A count of the paper's scale at this length, at least 1."""
        return max(1, round(count * self.length))

    @property
    def steps(self) -> int:
        return self.scaled(self.objective.iterations)

    def planned_nfe(self, k: int) -> int:
        """Images that generators draw while adapting; k does not change it."""
        o, reg = self.objective, self.regularisation
        ties = 2 * o.relation_batch * (o.needs_source + o.needs_source_images)
        path = -(-self.steps // reg.path_every) * reg.path_batch(self.batch)
        fisher = self.scaled(o.fisher_images) if o.ewc_weight > 0 else 0
        return self.steps * (2 * self.batch + ties) + path + fisher

    def shots_of(self, shots: Images, g: torch.Generator) -> Images:
        """A batch of distinct shots, repeated where there are fewer, some of them flipped."""
        x = shots[distinct(self.batch, len(shots), g)]
        mirrored = torch.rand(self.batch, 1, 1, 1, generator=g) < self.flip
        return torch.where(mirrored, x.flip(3), x)

    def training(self, k: int, seed: int) -> Training:
        """Both networks as the source's, ready to be trained for k shots."""
        o, reg, device = self.objective, self.regularisation, self.generator.device
        source = self.generator.net
        net = trainable_copy(source).requires_grad_(True)
        critic = load_critic(*self.generator.critic_parts()).to(device)
        if o.frozen_layers >= len(critic.blocks):
            raise ValueError(
                f"objective.frozen_layers={o.frozen_layers}: the critic has {len(critic.blocks)} "
                "blocks, and one must be left to train; method=freezed fits the suite"
            )
        fisher: dict[str, Tensor] = {}
        if o.ewc_weight > 0:
            g = generator(seed, "gan_adapt", "fisher")
            count = self.scaled(o.fisher_images)
            fisher = fisher_information(source, critic, count, g)
        freeze(critic, o.frozen_layers)
        heads, adam_d = None, [lazy_adam(critic, self.lr, reg.r1_every)]
        if o.anchor_every > 0:
            levels = patch_levels(source.arch)[: o.patch_levels]
            if len(levels) < o.patch_levels:
                raise ValueError(
                    f"objective.patch_levels={o.patch_levels}: a critic of "
                    f"{source.arch.resolution} px has {len(levels)}"
                )
            heads = seeded_heads(levels, derive(seed, "gan_adapt", "heads")).to(device)
            adam_d.append(lazy_adam(heads, self.lr, reg.r1_every))
        anchors = torch.randn(
            k, source.arch.style_dim, generator=generator(seed, "gan_adapt", "anchors")
        )
        return Training(
            objective=o,
            regularisation=reg,
            ties=Ties(objective=o, source=source, fisher=fisher),
            net=net,
            critic=critic,
            heads=heads,
            adam_g=lazy_adam(net, self.lr, reg.path_every),
            adam_d=adam_d,
            average=Average.of(net),
            running=Running().to(device),
            anchors=anchors,
            mixing=self.mixing,
            augment_images=self.scaled(o.augment_images),
        )

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Trains both networks for a fixed number of steps, since nothing may choose a stop."""
        training = self.training(len(shots), seed)
        trained = sum(p.numel() for p in training.net.parameters())
        trained += sum(
            len(p.flatten()) for a in training.adam_d for p in a.param_groups[0]["params"]
        )
        keep = 0.5 ** (1 / (self.average_half_life * self.length))
        done, kept = progress.load()
        unpack(kept, training.parts() if done else {})
        for step in range(done, self.steps):
            g = generator(seed, "gan_adapt", step)
            real = upload(self.shots_of(shots, g), self.generator.device)
            told = read(training.step(step, real, g))  # the step's only wait
            if not all(map(math.isfinite, told.values())):
                raise FloatingPointError(f"losses {told} at step {step}; lower method.lr={self.lr}")
            training.average.follow(training.net, keep=keep)
            progress.report(step + 1, self.steps, **told)
            progress.save(step + 1, pack(training.parts()))
        raw = training.net.state_dict()
        final = training.average.tensors if self.final == "average" else raw
        both = {"generator": final, "critic": training.critic.state_dict()}
        return State(
            tensors={
                f"{name}/{k}": v.detach().cpu().contiguous()
                for name, tensors in both.items()
                for k, v in tensors.items()
            },
            seed=seed,
            trained_params=trained,
            nfe_adapt=self.planned_nfe(len(shots)),
            meta={"steps": self.steps} | self.told_of(training),
        )

    def told_of(self, training: Training) -> dict[str, float]:
        """What a training leaves behind beside its weights."""
        if self.objective.augment == "none":
            return {}
        return {"augment_p": round(float(training.running.strength), 4)}

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is drawn by the tuned generator from a code and noise maps of its own."""
        net, device = trainable_copy(self.generator.net), self.generator.device
        head = "generator/"
        own = {k.removeprefix(head): v for k, v in state.tensors.items() if k.startswith(head)}
        net.load_state_dict(own)
        net.requires_grad_(False)

        @torch.no_grad()
        def images_at(indices: Sequence[int]) -> Images:
            random = ImageGenerators(draw, indices, "gan_adapt")
            z = upload(random.randn(net.arch.style_dim), device)
            noise = [upload(random.randn(1, s, s), device) for s in net.arch.noise_sides]
            images: Images = net.synthesis(net.repeat(net.mapping(z)), noise).clamp(-1, 1).cpu()
            return images

        return images_at
