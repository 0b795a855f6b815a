"""Pretrains a style-based generator on a source domain.

Non-saturating logistic loss with lazy R1 (Karras et al., CVPR 2020, arXiv:1912.04958, section 3.1
and appendix B) and style mixing (arXiv:1812.04948, section 3.1). No path-length regularisation.
Checkpointed; the same command continues a stopped run.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from baselines.common.adversarial import critic_loss, generator_loss, mixed_styles, r1_penalty
from baselines.common.checkpoint import Part
from baselines.common.critic import Critic
from baselines.common.ema import Average
from baselines.common.stylegan2 import (
    StyleArchitecture,
    StyleGenerator,
    parameters,
    read_gan,
    save_gan,
)
from baselines.pretrain.loop import Checkpoint, ImageSource, kept, log
from fsig_bench.api import JsonDict, generator, to_float, upload, verified


@dataclass(frozen=True, kw_only=True)
class GanRecipe:
    """How the weights were made; the values stand in conf/pretrain/gan.yaml."""

    images: ImageSource
    architecture: StyleArchitecture
    seed: int
    num_images: int
    batch_size: int
    lr: float
    decay_from: float  # share of the run after which both rates fall linearly to 0
    r1_gamma: float
    r1_every: int
    mixing: float
    ema_images: int
    bf16: bool
    compile: bool
    device: str
    checkpoint_s: float
    start: str | None = None  # trained weights of both networks to begin from

    def fade(self, seen: int) -> float:
        """Share of the learning rates that is left after `seen` images."""
        return min(1.0, max(0.0, (1 - seen / self.num_images) / (1 - self.decay_from)))

    def run(self, out: Path, work: Path) -> JsonDict:
        """Trains (or continues), writes `out`, returns cost and curve for the manifest."""
        torch.manual_seed(self.seed)  # initial weights
        net, critic = StyleGenerator(self.architecture), Critic(self.architecture)
        if self.start:
            file = verified(self.start)
            net.load_state_dict(read_gan(file, "generator")[1])
            critic.load_state_dict(read_gan(file, "critic")[1])
        for module in (net, critic):
            module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        work.mkdir(parents=True, exist_ok=True)
        pool = self.images.pool(work)
        average = Average.of(net)
        lazy = self.r1_every / (self.r1_every + 1)
        adam_g = torch.optim.Adam(net.parameters(), lr=self.lr, betas=(0.0, 0.99))
        adam_d = torch.optim.Adam(
            critic.parameters(), lr=self.lr * lazy, betas=(0.0, 0.99**lazy)
        )  # arXiv:1912.04958, appendix B, lazy regularisation
        networks: dict[str, Part] = {"generator": net, "critic": critic, "average": average}
        saved = Checkpoint(work, {**networks, "adam_g": adam_g, "adam_d": adam_d})
        done, wall_before = saved.restore()
        synthesis = torch.compile(net.synthesis) if self.compile else net.synthesis
        score = torch.compile(critic) if self.compile else critic
        kind = torch.device(self.device).type
        cast = torch.autocast(kind, torch.bfloat16) if self.bf16 else nullcontext()

        def maps(g: torch.Generator) -> list[Tensor]:
            return [upload(m, self.device) for m in net.noise(n, g)]

        penalty = torch.zeros(())  # the latest R1 penalty; a run that continues has none yet
        start = last = time.perf_counter()
        first, steps, n = done, self.num_images // self.batch_size, self.batch_size
        for step in range(done, steps):
            for adam, share in ((adam_g, 1.0), (adam_d, lazy)):
                for group in adam.param_groups:
                    group["lr"] = self.lr * share * self.fade(step * n)
            g = generator(self.seed, "step", step)
            picks = torch.randint(len(pool), (n,), generator=g)
            real = to_float(upload(pool[picks], self.device))
            real = real.contiguous(memory_format=torch.channels_last)
            with cast:
                with torch.no_grad():
                    fake = synthesis(mixed_styles(net, n, self.mixing, g), maps(g))
                loss_d = critic_loss(score(real), score(fake))
            adam_d.zero_grad(set_to_none=True)
            loss_d.backward()
            if step % self.r1_every == 0:
                penalty = self.r1_gamma / 2 * self.r1_every * r1_penalty(critic, real)
                penalty.backward()
            adam_d.step()
            critic.requires_grad_(False)
            with cast:
                fake = synthesis(mixed_styles(net, n, self.mixing, g), maps(g))
                loss_g = generator_loss(score(fake))
            adam_g.zero_grad(set_to_none=True)
            loss_g.backward()
            adam_g.step()
            critic.requires_grad_(True)
            if not torch.isfinite(loss_d + loss_g):
                raise FloatingPointError(f"loss {loss_d} / {loss_g} at step {step}; lower lr")
            half_life = min(self.ema_images, (step + 1) * n / 4)
            average.follow(net, keep=kept(n, half_life=half_life))
            now = time.perf_counter()
            if step % 50 == 0:
                rate = (step + 1 - first) * n / (now - start)
                values = {"loss_d": float(loss_d.detach()), "loss_g": float(loss_g.detach())}
                log(work, step=step, **values, r1=float(penalty.detach()), images_per_s=rate)
            if now - last > self.checkpoint_s or step + 1 == steps:
                last = now
                saved.store(step + 1, wall_before + now - start)
        net.load_state_dict(average.tensors)
        save_gan(out, net, critic)
        wall = wall_before + time.perf_counter() - start
        return {
            "images_seen": max(steps, done) * n,
            "wall_s": round(wall, 1),
            "parameters": parameters(net),
        }
