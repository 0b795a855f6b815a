"""D2C's repository: its schedule, DDIM, partial re-diffusion and the mixture over the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from parity.rows import Row, compare
from parity.stand_in import doubles, enliven, on_cpu, without
from torch import Tensor

from baselines.common.autoencoder import mixture_nll
from baselines.common.diffusion import Schedule, ddim_from, ddim_loop, linear_abar


@cache
def package() -> Any:
    """Upstream's package."""
    without("tensorboardX", "lmdb", "mpi4py")
    on_cpu()
    import d2c

    return d2c


def prior() -> torch.nn.Module:
    """A tiny official network on latents [n, 4, 8, 8]."""
    from d2c.diffusion.models.diffusion import Model

    sizes = {"ch": 32, "out_ch": 4, "ch_mult": [1, 2], "num_res_blocks": 1}
    sizes |= {"attn_resolutions": [4], "dropout": 0.0, "in_channels": 4}
    config = SimpleNamespace(
        model=SimpleNamespace(type="simple", resamp_with_conv=True, **sizes),
        data=SimpleNamespace(image_size=8),
        diffusion=SimpleNamespace(num_diffusion_timesteps=1000),
    )
    return enliven(Model(config), 0, size=0.7)


def stand_in(net: torch.nn.Module, sd: float = 1.0) -> SimpleNamespace:
    """What the methods of upstream's class need of it: it builds a whole autoencoder."""
    d2c = package()
    betas = d2c.get_beta_schedule(
        "linear", beta_start=0.0001, beta_end=0.02, num_diffusion_timesteps=1000
    )
    scale = d2c.ModulationLayer(1, 4, 1, 1)
    scale.mean.fill_(0.3)
    scale.std.fill_(sd)
    own = SimpleNamespace(
        diffusion=net,
        betas=torch.from_numpy(betas).float(),
        latent_mod=scale,
        latent_size=(4, 8, 8),
    )
    own.transform_latent = lambda z, seq: d2c.D2C.transform_latent(own, z, seq)
    return own


def latents() -> Iterator[Row]:
    d2c = package()
    with doubles(), torch.no_grad():
        torch.manual_seed(0)
        net = prior()
        own = stand_in(net, sd=2.0)
        schedule = Schedule.respaced(1000, linear_abar())
        tables = {
            "abar": (
                [float(d2c.compute_alpha(own.betas, torch.tensor([t]))) for t in range(1000)],
                schedule.abar,
            )
        }

        def eps(x: Tensor, t: int) -> Tensor:
            return net(x, torch.full((len(x),), float(t)))

        noise = torch.randn(2, 4, 8, 8)
        with mock.patch.object(d2c.torch, "randn", lambda *size: noise):
            theirs = d2c.D2C.sample_latent(own, 2)
        ours = ddim_loop(eps, noise, schedule, clamp=False) * 2.0 + 0.3
        z, fresh = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
        with mock.patch.object(d2c.torch, "randn_like", lambda x: fresh):
            edited = d2c.D2C.postprocess_latent(own, z, [0, 50])
        part = Schedule([0, 50], [schedule.abar[0], schedule.abar[50]])
        back = ddim_from(eps, (z - 0.3) / 2.0, fresh, part.abar[1], part) * 2.0 + 0.3
    yield compare("abar of the linear schedule", tables, most=1e-15)
    note = "the official network on both sides, upstream's autoencoder left out"
    yield compare("latents, DDIM of 1,000 steps, fp64", (theirs, ours), most=1e-10, note=note)
    yield compare(
        "re-diffused latents, steps 50 and 0, fp64", (edited, back), most=1e-12, note=note
    )


def reordered(parameters: Tensor, mixtures: int) -> Tensor:
    """Upstream's order of channels (by colour, then kind) in ours (by kind, then colour)."""
    n, _, h, w = parameters.shape
    weights, rest = parameters.split([mixtures, 9 * mixtures], 1)
    rest = rest.view(n, 3, 3, mixtures, h, w).transpose(1, 2)
    return torch.cat([weights, rest.reshape(n, 9 * mixtures, h, w)], 1)


def mixtures() -> Iterator[Row]:
    package()
    from d2c.autoencoder.distributions import DiscMixLogistic

    with doubles():
        torch.manual_seed(0)
        p = torch.randn(3, 100, 8, 8)

        def both(x: Tensor) -> tuple[Tensor, Tensor]:
            official = -DiscMixLogistic(p, 10, num_bits=8).log_prob(x.double() / 255)
            return official.sum((1, 2)), mixture_nll(reordered(p, 10), x.double() / 127.5 - 1)

        x = torch.randint(0, 255, (3, 3, 8, 8))  # up to 254
        x[x == 254] = 255
        same = both(x)
        bright = both(torch.full_like(x, 254) - torch.randint(0, 2, x.shape))
    yield compare("mixture's log likelihood, 8 bits, nats an image, fp64", same, most=1e-9)
    note = "meant: upstream takes 254 for the brightest value (its bound is 0.99), here 255 is"
    yield compare("the same, of values 253 and 254", bright, least=1.0, most=1e4, note=note)


CASES = [latents, mixtures]
