"""DomainStudio's repository: the terms of its loss, their gradients, steps and sampling.

Its class keeps the loss's weights in local variables and breaks off at the first step; they are set
on the object here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import yaml
from parity.adm import SMALL, Source, official_network, our_network
from parity.rows import Row, compare
from parity.stand_in import Replay, doubles, pictures
from torch import Tensor

from baselines.common.adm import convert_adm
from baselines.common.diffusion import Schedule, ancestral_loop, linear_abar
from baselines.common.variational import Tables, noised, variational_bound
from baselines.domainstudio import DomainStudio, Objective
from fsig_bench.api.places import ROOT
from fsig_bench.api.types import NoProgress

GROUP, SIDE = 3, SMALL.image_size
NAMES = {"simple": "mse", "vlb": "vb", "img": "similarity", "hf": "similarity2", "hfmse": "mse2"}
WEIGHTS = "weights set on the object: as published, the class breaks off"


def objective(name: str) -> Objective:
    """A preset of conf/method/objective/."""
    values = yaml.safe_load((ROOT / "conf/method/objective" / f"{name}.yaml").read_text())
    values.pop("_target_", None)
    (parent, *_) = values.pop("defaults", [None])
    if parent is None:
        return Objective(**values)
    return Objective(**(vars(objective(parent)) | values))


def diffusion(respacing: str = "") -> Any:
    """The official process with the weights of the loss in place."""
    from guided_diffusion import script_util

    process = script_util.create_gaussian_diffusion(
        steps=1000, learn_sigma=True, timestep_respacing=respacing
    )
    process.pair_weight, process.hf_pair_weight, process.hf_mse_weight = 4.0, 4.0, 1.0
    return process


@dataclass
class Both:
    """Tuned and frozen networks, official and ours with the same weights, and a noised group."""

    t: list[int]

    def __post_init__(self) -> None:
        from guided_diffusion import script_util

        self.net, self.base = (official_network(script_util, SMALL, seed) for seed in (1, 2))
        self.our_net, self.our_base = (our_network(n, SMALL) for n in (self.net, self.base))
        self.our_net.requires_grad_(True)
        self.x0 = pictures(GROUP, SIDE, 4).double() / 127.5 - 1
        self.noise = torch.randn(self.x0.shape)
        self.steps = torch.tensor(self.t)
        self.tables = Tables.of(linear_abar())

    def official(self) -> dict[str, Tensor]:
        """The official terms, means over the group."""
        terms = diffusion().training_fewshot_losses(
            self.net, self.base, self.x0, self.steps, noise=self.noise
        )
        return {k: v.mean() for k, v in terms.items()}

    def ours(self, preset: str) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, terms)."""
        x_t = noised(self.x0, self.noise, self.steps, self.tables)
        with torch.no_grad():
            src = self.our_base(x_t, self.steps)
        out = self.our_net(x_t, self.steps)
        rest = (self.x0, x_t, self.noise, self.steps, self.tables, GROUP)
        return objective(preset)(out, src, *rest)


def gradients(both: Both) -> dict[str, tuple[Tensor, Tensor]]:
    """Of every weight; the official ones under our names, as its weights are renamed."""
    own = {k: p.grad for k, p in both.net.named_parameters()}
    official = convert_adm(own, SMALL)
    return {k: (official[k], p.grad) for k, p in both.our_net.net.named_parameters()}


def terms() -> Iterator[Row]:
    note = WEIGHTS
    gaps: dict[str, Any] = {}
    with doubles():
        for t in ([1, 30, 400], [700, 998, 999], [50, 50, 50]):
            torch.manual_seed(t[0])
            both = Both(t)
            theirs = both.official()
            loss, found = both.ours("code")
            gaps |= {f"{k} at {t}": (theirs[v], found[k]) for k, v in NAMES.items()}
            gaps[f"loss at {t}"] = (theirs["loss"], loss)
            both.net.zero_grad()
            theirs["loss"].backward()
            loss.backward()
            slopes = gradients(both)
    yield compare("terms and loss, objective=code, t >= 1, fp64", gaps, most=1e-9, note=note)
    yield compare("gradient of every weight, fp64", slopes, most=1e-13, note=note)


def paper_terms() -> Iterator[Row]:
    """The paper's divergence from the relations that the official code computes."""
    from guided_diffusion import gaussian_diffusion

    relations: list[Tensor] = []
    whole = gaussian_diffusion.sfm

    def keep(x: Tensor) -> Tensor:
        relations.append(whole(x))
        return relations[-1]

    with doubles(), mock.patch.object(gaussian_diffusion, "sfm", keep):
        torch.manual_seed(0)
        both = Both([20, 300, 800])
        theirs = both.official()
        preset = objective("paper")
        _, found = both.ours("paper")
        src, ada, src_hf, ada_hf = relations
        pairs = {}
        for name, p, q in (("img", ada, src), ("hf", ada_hf, src_hf)):
            kl = (p * (p / q).log()).sum()  # over the anchors of the group
            pairs[name] = (getattr(preset, f"l_{name}") * kl, found[name])
        pairs["hfmse"] = (preset.l_hfmse * theirs["mse2"], found["hfmse"])
        pairs["vlb"] = (preset.l_vlb * theirs["vb"], found["vlb"])
    note = "the paper's sums over the official code's relative distances"
    yield compare("terms, objective=paper, fp64", pairs, most=1e-11, note=note)


def first_step() -> Iterator[Row]:
    with doubles(), torch.no_grad():
        torch.manual_seed(0)
        both = Both([0, 0, 0])
        x_t = noised(both.x0, both.noise, both.steps, both.tables)
        bound = variational_bound(
            both.our_net(x_t, both.steps), both.x0, x_t, both.steps, both.tables, clip=False
        )
        pair = (both.official()["vb"], bound.mean())
    note = "meant: the exact normal cdf here, a tanh approximation upstream"
    yield compare("L_vlb at t = 0, bits", pair, least=1e-3, most=2e-2, note=note)


def adapting() -> Iterator[Row]:
    """Our `adapt` against AdamW on the official loss, batch by batch."""
    with doubles():
        both = Both([1, 1, 1])
        source = Source(unet=both.our_base, resolution=SIDE)
        values = yaml.safe_load((ROOT / "conf/method/domainstudio.yaml").read_text())
        drop = ("defaults", "card", "_target_", "source", "sample")
        values = {k: v for k, v in values.items() if k not in drop}
        values |= {"groups": 1, "iterations": 4, "lr": 1e-3}
        method = DomainStudio(
            source=source, objective=objective("code"), sample=None, prior=None, **values
        )
        shots = pictures(5, SIDE, 8).double() / 127.5 - 1
        seed = next(s for s in range(99) if all(least_t(method, shots, s, n) for n in range(4)))
        ours = method.adapt(shots, seed=seed, progress=NoProgress()).tensors
        both.net.load_state_dict(both.base.state_dict())
        adam = torch.optim.AdamW(both.net.parameters(), lr=1e-3, weight_decay=0.0)
        for n in range(4):
            both.x0, both.steps, both.noise = method.batch(shots, seed, n)
            adam.zero_grad()
            both.official()["loss"].backward()
            adam.step()
        # Outputs and not weights: a bias before a norm has no gradient but rounding, and Adam
        # makes a step of it.
        both.our_net.load_state_dict(ours)
        x, t = torch.randn(4, 3, SIDE, SIDE), torch.tensor([1, 50, 500, 900])
        with torch.no_grad():
            pair = (both.net(x, t), both.our_net(x, t))
            moved = float((pair[0] - both.our_base(x, t)).abs().max())
    assert moved > 0.01, moved
    yield compare("outputs after 4 steps of AdamW, fp64", pair, most=1e-9, note=WEIGHTS)


def least_t(method: DomainStudio, shots: Tensor, seed: int, step: int) -> bool:
    """Whether no image of the batch is at t = 0, where the bounds differ."""
    return bool((method.batch(shots, seed, step)[1] > 0).all())


def sampling() -> Iterator[Row]:
    from guided_diffusion import gaussian_diffusion, script_util

    with doubles(), torch.no_grad():
        official = official_network(script_util, SMALL, 1)
        ours = our_network(official, SMALL)
        process = diffusion("20")
        x = torch.randn(2, 3, SIDE, SIDE)
        noises = [torch.randn(x.shape) for _ in range(20)]
        replay = Replay(noises)
        with mock.patch.object(gaussian_diffusion.th, "randn_like", replay):
            theirs = process.p_sample_loop(official, x.shape, noise=x, clip_denoised=True)
        replay.check_used_up()
        draws = iter(noises)
        own = ancestral_loop(ours, x, Schedule.respaced(20, linear_abar()), lambda: next(draws))
    note = "upstream's draws are replaced by ours"
    yield compare("ancestral samples, 20 steps, fp64", (theirs, own), most=1e-11, note=note)


CASES = [terms, paper_terms, first_step, adapting, sampling]
