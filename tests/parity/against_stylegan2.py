"""rosinality's StyleGAN2, by its operations for processors: generator, critic, projector."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any
from unittest import mock

import torch
from parity.rows import Row, compare
from parity.stand_in import doubles, enliven, without
from torch import Tensor

from baselines.common.critic import Critic
from baselines.common.rosinality import (
    NOISES,
    convert_rosinality,
    convert_rosinality_critic,
    rosinality_architecture,
)
from baselines.common.stylegan2 import StyleGenerator
from baselines.gan_inversion import projector

SIDES = {16: 2, 64: 1}  # px -> channel multiplier; narrower than 512 from 64 px on


@cache
def model() -> Any:
    """Upstream's modules; its operations for GPUs are compiled when they are imported."""
    without("lpips")
    with mock.patch("torch.utils.cpp_extension.load", mock.MagicMock()):
        import model
    return model


def generators(side: int) -> tuple[torch.nn.Module, StyleGenerator, list[Tensor]]:
    """(official, ours, the noise maps of the checkpoint)."""
    official = enliven(model().Generator(side, 512, 8, SIDES[side]), side)
    official.to(torch.get_default_dtype())  # filters are float32 by name
    with torch.no_grad():
        official.input.input.normal_()
        for layer in official.style[1:]:
            layer.weight.mul_(512**0.5 / layer.lr_mul)
        for name, p in official.named_parameters():
            if ".conv.weight" in name:
                p.mul_(p[0, 0].numel() ** 0.5)  # equalised: the forward pass scales them
            elif "modulation.weight" in name:
                p.mul_(512**0.5)
    arch = rosinality_architecture(side, SIDES[side])
    tensors = convert_rosinality({"g_ema": official.state_dict()}, arch)
    ours = StyleGenerator(arch)
    ours.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(NOISES)})
    maps = [tensors[f"{NOISES}{n}"] for n in range(len(arch.noise_sides))]
    return official, ours.eval(), maps


def images() -> Iterator[Row]:
    mapped, kept, fresh, mixed, cut = {}, {}, {}, {}, {}
    with doubles(), torch.no_grad():
        for side in SIDES:
            torch.manual_seed(side)
            official, ours, maps = generators(side)
            styles = ours.arch.num_styles
            z, other = torch.randn(2, 512), torch.randn(2, 512)
            w, w2 = ours.mapping(z), ours.mapping(other)
            name = f"{side} px"
            mapped[name] = (official.style(z), w)

            def draw(codes: Tensor, noise: list[Tensor], net: Any = ours) -> Tensor:
                return net.synthesis(codes, noise)

            whole = w[:, None].expand(-1, styles, -1)
            kept[name] = (official([z], randomize_noise=False)[0], draw(whole, maps))
            noise = [torch.randn(2, 1, s, s) for s in ours.arch.noise_sides]
            fresh[name] = (official([z], noise=noise)[0], draw(whole, noise))
            if side == 64:  # mixing and truncation happen before the network
                continue
            at = styles // 2
            both = torch.cat([whole[:, :at], w2[:, None].expand(-1, styles - at, -1)], 1)
            theirs = official([z, other], inject_index=at, noise=noise)[0]
            mixed[name] = (theirs, draw(both, noise))
            mean = ours.mapping(torch.randn(64, 512)).mean(0, keepdim=True)
            theirs = official([z], truncation=0.6, truncation_latent=mean, noise=noise)[0]
            cut[name] = (theirs, draw(mean[:, None] + 0.6 * (whole - mean[:, None]), noise))
    yield compare("mapping network, fp64", mapped, most=1e-11)
    yield compare("images with the checkpoint's noise, fp64", kept, most=1e-12)
    yield compare("images with noise of their own, fp64", fresh, most=1e-12)
    yield compare("images of mixed styles, fp64", mixed, most=1e-12)
    yield compare("truncated images, fp64", cut, most=1e-12)


def single_precision() -> Iterator[Row]:
    torch.manual_seed(0)
    official, ours, maps = generators(64)
    with torch.no_grad():
        z = torch.randn(2, 512)
        w = ours.mapping(z)[:, None].expand(-1, ours.arch.num_styles, -1)
        pair = (official([z], randomize_noise=False)[0], ours.synthesis(w, maps))
    yield compare("images, 64 px, fp32", pair, most=5e-5)


def critics() -> Iterator[Row]:
    logits, slopes, weights = {}, {}, {}
    with doubles():
        for side, multiplier in SIDES.items():
            official = model().Discriminator(side, multiplier)
            enliven(official, side).to(torch.get_default_dtype())
            with torch.no_grad():
                for p in official.parameters():
                    if p.ndim > 1:
                        p.mul_(p[0].numel() ** 0.5)  # equalised: the forward pass scales them
            arch = rosinality_architecture(side, multiplier)
            ours = Critic(arch)
            ours.load_state_dict(convert_rosinality_critic({"d": official.state_dict()}, arch))
            for n in (1, 3, 8) if side == 16 else (2,):
                name = f"{n} images of {side} px"
                x = torch.randn(n, 3, side, side, requires_grad=True)
                a, b = official(x)[:, 0], ours(x)
                logits[name] = (a[:, None], b[:, None]) if n > 1 else (a, b)
                grads = [torch.autograd.grad(v.sum(), x, create_graph=n == 3)[0] for v in (a, b)]
                slopes[name] = tuple(grads)
                if n == 3:  # through the gradient, as R1 does
                    r1 = [g.square().sum((1, 2, 3)).mean() for g in grads]
                    (theirs,) = torch.autograd.grad(r1[0], official.final_linear[0].weight)
                    (own,) = torch.autograd.grad(r1[1], ours.fc.weight)
                    weights[f"{side} px"] = (theirs, own)
    yield compare("critic's logits, 1, 2, 3 and 8 images, fp64", logits, most=1e-12)
    yield compare("their gradient in the images, fp64", slopes, most=1e-14)
    yield compare("gradient of R1 in a weight, fp64", weights, most=1e-15)


def projecting() -> Iterator[Row]:
    """The pieces of upstream's projector that ours shares: its rates, its noise regulariser."""
    model()
    import projector as official

    settings = projector.Projector(
        space="w", steps=1000, lr=0.1, ramp="stylegan2", halve_every=1, latent_noise=0.05,
        maps="optimised", noise_weight=1e5, lpips_weight=1.0, mse_weight=0.0, prior_weight=0.0,
    )  # fmt: skip
    rates = [(official.get_lr(n / 1000, 0.1), settings.rate(n)) for n in range(1000)]
    yield compare(
        "projector's learning rates, 1,000 steps", tuple(zip(*rates, strict=True)), most=1e-15
    )
    with doubles():
        maps = [torch.randn(1, 1, side, side) for side in (4, 8, 8, 16, 64)]
        pair = (official.noise_regularize(maps), projector.noise_regulariser(maps)[0])
        scaled = [m.clone() for m in maps]
        official.noise_normalize_(scaled)
        projector.renormalise(maps)
        scales = {f"map {n}": p for n, p in enumerate(zip(scaled, maps, strict=True))}
    yield compare("projector's noise regulariser, fp64", pair, most=1e-12)
    note = "meant: root mean square 1 here, standard deviation with n - 1 upstream"
    yield compare("noise maps made normal again", scales, least=1e-3, most=0.2, note=note)


CASES = [images, single_precision, critics, projecting]
