"""Projection of images into W or W+, all in one batch.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958, appendix D
(learning-rate ramps, latent noise, noise maps and their regulariser); Abdal et al.,
"Image2StyleGAN", arXiv:1904.03189 (W+, fixed noise, a step schedule).

Shape legend: k images, l styles, d style width, r side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from baselines.common.checkpoint import pack, unpack
from baselines.common.choices import check_choices
from baselines.common.stylegan2 import StyleGenerator
from baselines.common.wspace import WSpace
from fsig_bench.api import Images, Progress, generator, upload

LARGEST = 256  # px; what the loss sees, as in the projectors of NVlabs and rosinality


@dataclass(frozen=True, kw_only=True)
class Projector:
    """The inversion's settings; presets in conf/method/projector/."""

    space: Literal["w", "w_plus"]
    steps: int
    lr: float  # peak
    ramp: Literal["stylegan2", "halving", "constant"]
    halve_every: int  # steps, halving only
    latent_noise: float  # share of the W spread, fading until 0.75 of the run
    maps: Literal["fixed", "optimised"]
    noise_weight: float  # of the noise regulariser, optimised only
    lpips_weight: float
    mse_weight: float
    prior_weight: float  # of ||v||^2 / d in whitened P-space (arXiv:2012.09036)

    def __post_init__(self) -> None:
        check_choices(self)

    def rate(self, step: int) -> float:
        """Learning rate of a step; stylegan2 warms up over 5 % and falls by a cosine from 75 %."""
        if self.ramp == "constant":
            return self.lr
        if self.ramp == "halving":
            return self.lr * 0.5 ** (step // self.halve_every)
        t = step / self.steps
        down = min(1.0, (1 - t) / 0.25)
        return self.lr * (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, t / 0.05)

    def jitter(self, step: int, spread: float) -> float:
        """Standard deviation of the noise on the codes at a step."""
        return spread * self.latent_noise * max(0.0, 1 - step / self.steps / 0.75) ** 2


def noise_regulariser(maps: Sequence[Tensor]) -> Tensor:
    """Squared autocorrelation at shift 1, over a pyramid down to 8 px; one value an image [k]."""
    total = maps[0].new_zeros(len(maps[0]))
    for noise in maps:
        while True:
            for axis in (2, 3):
                shifted = (noise * noise.roll(1, axis)).mean((1, 2, 3))
                total = total + shifted.square()
            if noise.shape[2] <= 8:
                break
            noise = torch.nn.functional.avg_pool2d(noise, 2)
    return total


def seen(images: Images) -> Images:
    """What the losses compare: larger images are averaged down to 256 px."""
    if images.shape[-1] <= LARGEST:
        return images
    return torch.nn.functional.interpolate(images, (LARGEST, LARGEST), mode="area")


@torch.no_grad()
def renormalise(maps: Sequence[Tensor]) -> None:
    """Each map to mean 0 and root mean square 1, in place."""
    for noise in maps:
        noise -= noise.mean((2, 3), keepdim=True)
        noise *= noise.square().mean((2, 3), keepdim=True).rsqrt()


def project(
    settings: Projector,
    net: StyleGenerator,
    space: WSpace,
    images: Images,
    maps: Sequence[Tensor],
    perceive: Callable[[Tensor], Tensor],
    *,
    seed: int,
    progress: Progress,
) -> tuple[Tensor, list[Tensor]]:
    """Codes [k, l, d] and noise maps for images [k, 3, r, r] in [-1, 1].

    The losses of the images are summed, so that none depends on how many there are.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    k, styles = len(images), net.arch.num_styles
    rows = 1 if settings.space == "w" else styles
    code = space.mean.repeat(k, rows, 1).requires_grad_(True)
    free = [n.repeat(k // len(n), 1, 1, 1).clone() for n in maps]
    trained = [code]
    if settings.maps == "optimised":
        trained += [n.requires_grad_(True) for n in free]
    adam = torch.optim.Adam(trained, lr=settings.lr, betas=(0.9, 0.999))
    done, kept = progress.load()
    if done:
        with torch.no_grad():
            for n, tensor in enumerate(trained):
                tensor.copy_(kept[f"trained/{n}"])
        unpack(kept, {"adam": adam})
    images = seen(images)
    with torch.no_grad():
        target = perceive(images)
    for step in range(done, settings.steps):
        for group in adam.param_groups:
            group["lr"] = settings.rate(step)
        g = generator(seed, "gan_inversion", "jitter", step)
        shake = settings.jitter(step, space.std) * torch.randn(code.shape, generator=g)
        w = (code + upload(shake, code.device)).expand(-1, styles, -1)
        fake = seen(net.synthesis(w, free))
        lpips = (perceive(fake) - target).square().sum(1)
        mse = (fake - images).square().mean((1, 2, 3))
        each = settings.lpips_weight * lpips + settings.mse_weight * mse
        if settings.maps == "optimised":
            each = each + settings.noise_weight * noise_regulariser(free)
        if settings.prior_weight > 0:
            each = each + settings.prior_weight * space.strangeness(code).mean(1)
        adam.zero_grad(set_to_none=True)
        each.sum().backward()
        adam.step()
        if settings.maps == "optimised":
            renormalise(free)
        # The step's only wait for the device.
        shown, *losses = torch.cat([lpips.detach().mean()[None], each.detach()]).tolist()
        if not all(map(math.isfinite, losses)):
            raise FloatingPointError(f"losses {losses} at step {step}; lower the lr")
        progress.report(step + 1, settings.steps, lpips=shown)
        progress.save(
            step + 1,
            pack({"adam": adam}) | {f"trained/{n}": t.detach() for n, t in enumerate(trained)},
        )
    codes = code.detach().expand(-1, styles, -1).contiguous()
    return codes, [n.detach() for n in free]
