"""One training: both networks, their optimisers, and the steps that they take.

Every random number of a step comes from (seed, step), so that a continued training is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.common.adversarial import (
    critic_loss,
    generator_loss,
    mixed_styles,
    path_lengths,
    path_penalty,
    r1_penalty,
)
from baselines.common.augment import adapted, augmented
from baselines.common.checkpoint import Part
from baselines.common.critic import Critic
from baselines.common.ema import Average
from baselines.common.stylegan2 import StyleGenerator
from baselines.gan_adapt.maps import PatchHeads, critic_map, first_patch_block
from baselines.gan_adapt.objective import Objective
from baselines.gan_adapt.regularised import Regularisation
from baselines.gan_adapt.ties import Ties, fresh_noise
from fsig_bench.api import Images, upload

ADAPT_EVERY = 4  # steps between changes of the augmentation's strength; arXiv:2006.06676, section 3


class Running(nn.Module):
    """Numbers that a training carries from step to step: buffers, so that checkpoints hold them."""

    path_mean: Tensor  # running mean of path lengths
    strength: Tensor  # p of the augmentation
    signs: Tensor  # mean sign of the critic's logits for shots since p changed

    def __init__(self) -> None:
        super().__init__()
        for name in ("path_mean", "strength", "signs"):
            self.register_buffer(name, torch.zeros(()))


def descend(adams: Sequence[torch.optim.Optimizer], loss: Tensor) -> Tensor:
    """One step down a loss, whose value it returns.

    Weights that the loss does not reach get gradients of zero, as in the code of CDC (PyTorch 1.7):
    Adam's second moments of a critic's last layers fade in steps on patches.
    """
    for adam in adams:
        adam.zero_grad(set_to_none=True)
    loss.backward()
    for adam in adams:
        for group in adam.param_groups:
            for p in group["params"]:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        adam.step()
    return loss.detach()


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What the critic's and the generator's half of a step share."""

    step: int
    real: Images  # shots [n, 3, r, r]
    g: torch.Generator
    level: Callable[[], int | None]  # draws the patch level of each call of the critic
    near_anchors: bool  # codes around anchors, and whole images


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, and with what."""

    objective: Objective
    regularisation: Regularisation
    ties: Ties  # to the source
    net: StyleGenerator
    critic: Critic
    heads: PatchHeads | None
    adam_g: torch.optim.Optimizer
    adam_d: Sequence[torch.optim.Optimizer]  # the critic's, and its heads'
    average: Average
    running: Running
    anchors: Tensor  # z [k, d], on the CPU
    mixing: float
    augment_images: int  # as the objective's, for this length

    def parts(self) -> dict[str, Part]:
        """All that a continued training needs."""
        out: dict[str, Part] = {"net": self.net, "critic": self.critic, "average": self.average}
        out |= {"adam_g": self.adam_g, "running": self.running}
        out |= {f"adam_d{n}": adam for n, adam in enumerate(self.adam_d)}
        return out | ({"heads": self.heads} if self.heads else {})

    def styles(self, n: int, g: torch.Generator, *, near_anchors: bool) -> Tensor:
        """w+ [n, l, d] of mixed codes, or of codes around anchors."""
        if not near_anchors:
            return mixed_styles(self.net, n, self.mixing, g)
        z = self.anchors[torch.randint(len(self.anchors), (n,), generator=g)]
        z = z + self.objective.anchor_std * torch.randn(z.shape, generator=g)
        return self.net.repeat(self.net.mapping(z.to(self.net.const.device)))

    def generated(self, n: int, g: torch.Generator, *, near_anchors: bool) -> Images:
        """Images [n, 3, r, r] of the generator as it is, with fresh noise maps."""
        styles = self.styles(n, g, near_anchors=near_anchors)
        return self.net.synthesis(styles, fresh_noise(self.net, n, g))

    def logits(self, images: Images, level: int | None) -> Tensor:
        """The critic's logits [n], or with a level those of patches, [n, 1, s, s]."""
        if level is None or self.heads is None:
            whole: Tensor = self.critic(images)
            return whole
        x = critic_map(self.critic, images, level, first_patch_block(self.net.arch))
        patches: Tensor = self.heads(x, level)
        return patches

    def levels(self, step: int, g: torch.Generator) -> Callable[[], int | None]:
        """A function that draws the patch level of each call of the critic in a step."""
        every, count = self.objective.anchor_every, self.objective.patch_levels
        if every == 0 or step % every == 0:
            return lambda: None
        return lambda: int(torch.randint(count, (), generator=g))

    def seen(self, images: Images, g: torch.Generator) -> Images:
        """Images as the critic sees them."""
        if self.objective.augment == "none":
            return images
        return augmented(images, float(self.running.strength), g)

    def step(self, step: int, real: Images, g: torch.Generator) -> dict[str, Tensor]:
        """A step of the critic, one of the generator, their regularisation; returns the losses."""
        near = self.objective.anchor_every > 0 and step % self.objective.anchor_every == 0
        level = self.levels(step, g)
        turn = Turn(step=step, real=real, g=g, level=level, near_anchors=near)
        told = self.critic_step(turn)
        for p in self.critic_parameters():
            p.requires_grad_(False)
        told |= self.generator_step(turn)
        for p in self.critic_parameters():
            p.requires_grad_(True)
        return told

    def critic_parameters(self) -> list[Tensor]:
        """What is trained of the critic and its heads."""
        return [p for adam in self.adam_d for group in adam.param_groups for p in group["params"]]

    def critic_step(self, turn: Turn) -> dict[str, Tensor]:
        """The critic learns to tell; then R1 on the images that it saw, every few steps."""
        n, reg, g, level = len(turn.real), self.regularisation, turn.g, turn.level
        with torch.no_grad():
            fake = self.generated(n, g, near_anchors=turn.near_anchors)
        real, fake = self.seen(turn.real, g), self.seen(fake, g)
        logits = self.logits(real, level())
        loss = critic_loss(logits, self.logits(fake, level()))
        told = {"critic": descend(self.adam_d, loss)}
        self.follow_overfitting(turn.step, n, logits.detach())
        if turn.step % reg.r1_every == 0:
            now = level()

            def one_each(images: Images) -> Tensor:
                return self.logits(images, now).view(n, -1).mean(1)

            r1 = r1_penalty(one_each, real)
            descend(self.adam_d, reg.r1_gamma / 2 * reg.r1_every * r1)
            told["r1"] = r1.detach()
        return told

    def follow_overfitting(self, step: int, n: int, logits: Tensor) -> None:
        """Adapts the augmentation's strength to how well the critic knows the shots."""
        if self.objective.augment == "none":
            return
        self.running.signs += logits.sign().mean() / ADAPT_EVERY
        if step % ADAPT_EVERY == ADAPT_EVERY - 1:
            p = adapted(
                float(self.running.strength),
                float(self.running.signs),
                target=self.objective.augment_target,
                seen=n * ADAPT_EVERY,
                images=self.augment_images,
            )
            self.running.strength.fill_(p)
            self.running.signs.zero_()

    def generator_step(self, turn: Turn) -> dict[str, Tensor]:
        """The generator learns to pass, held to the source; then its path lengths."""
        n, reg, g = len(turn.real), self.regularisation, turn.g
        fake = self.generated(n, g, near_anchors=turn.near_anchors)
        terms = {"generator": generator_loss(self.logits(self.seen(fake, g), turn.level()))}
        terms |= self.ties(self.net, self.critic, turn.real, g)
        descend([self.adam_g], torch.stack(list(terms.values())).sum())
        if turn.step % reg.path_every == 0:
            b = reg.path_batch(n)
            styles = self.styles(b, g, near_anchors=False)
            images = self.net.synthesis(styles, fresh_noise(self.net, b, g))
            y = upload(torch.randn(images.shape, generator=g), images.device)
            lengths = path_lengths(images, styles, y)
            path, mean = path_penalty(lengths, self.running.path_mean, reg.path_decay)
            descend([self.adam_g], reg.path_weight * reg.path_every * path)
            self.running.path_mean.copy_(mean)
            terms["path"] = path
        return {k: v.detach() for k, v in terms.items()}
