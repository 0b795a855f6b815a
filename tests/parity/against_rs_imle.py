"""RS-IMLE's repository: generator, loss, spaces of the search, rejection and assignment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
import yaml
from parity.lpips_pair import our_lpips
from parity.rows import Row, compare
from parity.stand_in import Replay, doubles, enliven, on_cpu, pictures, without
from torch import Tensor

from baselines.rs_imle import RSIMLE, Architecture, Generator, Projection, Rejection
from baselines.rs_imle.assignments import Assignments
from baselines.rs_imle.goals import Goals
from baselines.rs_imle.search import layer_widths, random_matrix
from fsig_bench.api.places import ROOT
from fsig_bench.networks.perceptual import trunk_of

SIDE, LATENT, SEED, SHOTS = 16, 32, 3, 6
BLOCKS = "1x2,4m1,4x1,8m4,8x1,16m8"
SETTINGS = {
    "width": 24, "custom_width_str": "", "bottleneck_multiple": 0.25, "dec_blocks": BLOCKS,
    "latent_dim": LATENT, "n_mpl": 4, "max_hierarchy": 0, "image_channels": 3, "image_size": SIDE,
    "force_factor": 20, "imle_db_size": 64, "imle_batch": 16, "n_batch": 16, "use_snoise": False,
    "lpips_net": "vgg", "proj_dim": 80, "proj_proportion": 1, "search_type": "l2",
    "l2_search_downsample": 1.0, "snoise_factor": 1, "knn_ignore": 5, "lpips_coef": 1.0,
    "l2_coef": 0.1, "use_rsimle": True, "imle_perturb_coef": 0.0, "latent_lr": 0.0,
}  # fmt: skip


class ExactNeighbours:
    """In place of upstream's approximate index for GPUs: all distances, the nearest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.rows = torch.zeros(0)

    def add(self, rows: Tensor) -> None:
        self.rows = rows.clone()

    def clear(self) -> None:
        self.rows = torch.zeros(0)

    def query(self, x: Tensor, num_neighbours: int) -> tuple[Tensor, Tensor]:
        gaps = (x[:, None] - self.rows[None]).square().sum(2).sqrt()
        found = gaps.topk(num_neighbours, dim=1, largest=False)
        return found.indices, found.values


@cache
def upstream() -> tuple[Any, Any]:
    """Upstream's modules: models, sampler."""
    on_cpu()
    without("imageio", "mpi4py", "visual.utils")
    index = ModuleType("dciknn_cuda")
    index.DCI = index.MDCI = ExactNeighbours
    sys.modules["dciknn_cuda"] = index
    import models
    import sampler

    return models, sampler


@cache
def trunk(precision: torch.dtype) -> SimpleNamespace:
    """The random VGG-16 of both sides, as much of it as LPIPS looks at."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return SimpleNamespace(features=trunk_of("vgg").to(precision))


def settings(**changes: Any) -> Any:
    from helpers.utils import Hyperparams

    root = Path(upstream()[0].__file__).parent
    return Hyperparams({**SETTINGS, "lpips_path": str(root / "lpips"), **changes})


def generators() -> tuple[torch.nn.Module, Generator]:
    """(official, ours) with the same random weights."""
    official = enliven(upstream()[0].IMLE(settings()), 1)
    ours = Generator(
        Architecture(
            latent_dim=LATENT, mapping_layers=4, width=24, bottleneck=0.25, blocks=BLOCKS,
            norm_eps=0.01,
        )
    ).eval()  # fmt: skip
    tensors: dict[str, Tensor] = {}
    for name, value in official.decoder.state_dict().items():
        parts = name.split(".")
        if parts[0] == "mapping_network":  # behind a norm, every second layer is an activation
            own = f"mapping.{(int(parts[2]) - 1) // 2}.{parts[-1]}"
        elif parts[0] == "dec_blocks" and parts[2] == "adaIN":
            own = f"blocks.{parts[1]}.norm.style.{parts[-1]}"
        elif parts[0] == "dec_blocks":
            own = f"blocks.{parts[1]}.convs.{int(parts[3][1]) - 1}.{parts[-1]}"
        else:
            own = name.replace("constant", "const").replace("resnet", "head")
        tensors[own] = value
    ours.load_state_dict(tensors)
    return official, ours


def images() -> Iterator[Row]:
    with doubles(), torch.no_grad():
        torch.manual_seed(0)
        official, ours = generators()
        z = torch.randn(4, LATENT)
        yield compare("images of the generator, fp64", (official(z), ours(z)), most=1e-12)


def searcher(**changes: Any) -> Any:
    """Upstream's sampler with the random trunk."""
    random = trunk(torch.get_default_dtype())
    with mock.patch("LPNet.tv.vgg16", lambda pretrained: random):
        return upstream()[1].Sampler(settings(**changes), SHOTS, by_row)


def by_row(batch: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Upstream's preparation of images [n, h, w, 3] in [-1, 1]: here they are ready."""
    return batch[0], batch[0]


def method(mode: str, eps: float, kind: str = "l2") -> RSIMLE:
    """The method as conf/method/rs_imle.yaml sets it, at this size."""
    values = yaml.safe_load((ROOT / "conf/method/rs_imle.yaml").read_text())
    values = {k: v for k, v in values.items() if k not in ("card", "_target_", "sample")}
    perceptual = our_lpips("vgg", trunk(torch.get_default_dtype()).features)
    values |= {
        "device": "cpu", "resolution": SIDE, "perceptual": perceptual,
        "architecture": generators()[1].arch, "perturb": 0.0, "pool_round_to": 64, "sample": None,
        "projection": Projection(kind=kind, width=80, normalise=True),
        "rejection": Rejection(eps=eps, relative=False, mode=mode, chunk=64),
    }  # fmt: skip
    return RSIMLE(**values)


def losses() -> Iterator[Row]:
    torch.manual_seed(0)
    ours, theirs = method("exact", 0.1), searcher()
    real = pictures(4, SIDE, 1).float() / 127.5 - 1
    goals = Goals.of(real, ours.perceptual, keep=True, batch=4)
    fake = 0.7 * real + 0.1 * torch.randn(real.shape)
    pairs = {}
    for name, loss in (
        ("official", lambda x: theirs.calc_loss(x, real, use_mean=False)),
        ("ours", lambda x: ours.losses(x, goals)),
    ):
        x = fake.clone().requires_grad_()
        each = loss(x)
        (slope,) = torch.autograd.grad(each.sum(), x)
        pairs[name] = (each.detach(), slope)
    value, slope = zip(*pairs.values(), strict=True)
    note = "a random VGG trunk"
    yield compare("loss of each pair, LPIPS + 0.1 MSE, fp32", tuple(value), most=2e-8, note=note)
    yield compare("its gradient in the images, fp32", tuple(slope), most=1e-8, note=note)


def spaces() -> Iterator[Row]:
    """Rows of the three spaces, by the matrices that ours draws."""
    x = pictures(4, SIDE, 2).float() / 127.5 - 1
    gaps = {}
    for kind in ("l2", "lpips", "combined"):
        ours = method("exact", 0.1, kind)
        project = ours.projection.drawn(ours.perceptual, x, SEED)
        theirs = searcher(search_type=kind)
        width = 40 if kind == "combined" else 80
        if kind != "l2":
            sizes = [m[0].numel() for m in ours.perceptual.trunk(x[:1])]
            theirs.projections = [
                torch.cat(random_matrix(size, w, x.device, SEED, "lpips", layer))
                for layer, (size, w) in enumerate(
                    zip(sizes, layer_widths(sizes, width), strict=True)
                )
            ]
        if kind != "lpips":
            matrix = random_matrix(x[0].numel(), width, x.device, SEED, "l2")
            theirs.l2_projection = torch.cat(matrix)
        find = {"l2": theirs.get_l2_feature, "lpips": theirs.get_projected}
        with torch.no_grad():
            gaps[kind] = (find.get(kind, theirs.get_combined_feature)(x, False), project(x))
    yield compare("rows of the search: l2, lpips, combined, fp32", gaps, most=1e-7)


def assignments() -> Iterator[Row]:
    """Upstream's `imle_sample_force` on pools of our codes: what it rejects and what it picks."""
    codes, rejected = {}, {}
    with doubles(), torch.no_grad():
        official, ours = generators()
        shots = pictures(SHOTS, SIDE, 3).double() / 127.5 - 1
        for number, eps in enumerate((0.0, 1.15, 1.2, 1.25, 1.3, 1.35)):
            own = method("knn5", eps)
            project = own.projection.drawn(own.perceptual, shots, SEED + number)
            targets, due = project(shots), torch.arange(SHOTS)
            pairs = Assignments.fresh(SHOTS, LATENT, own.projection.width, 0.0, "cpu")
            own.assign(ours, pairs, due, targets, project, SEED + number, 0)

            theirs = searcher(eps_radius=eps)
            matrix = random_matrix(shots[0].numel(), 80, shots.device, SEED + number, "l2")
            theirs.l2_projection = torch.cat(matrix)
            for name, value in vars(theirs).items():  # made as float32 by name
                if isinstance(value, Tensor) and value.dtype == torch.float32:
                    setattr(theirs, name, value.double())
            rows = shots.permute(0, 2, 3, 1)
            theirs.init_projection(rows)
            wrapped = official
            wrapped.module = SimpleNamespace(dci_db=None)
            drawn = Replay([own.codes(1, theirs.pool_size, SEED + number)])
            with mock.patch.object(
                torch.Tensor, "normal_", lambda self, draw=drawn: self.copy_(draw())
            ):
                theirs.imle_sample_force(rows, wrapped)
            codes[f"eps {eps}"] = (theirs.selected_latents, pairs.z)
            rejected[f"eps {eps}"] = (theirs.total_excluded, int(pairs.counts[3]))
    some = [a for a, _ in rejected.values()]
    assert len(set(some)) > 3, some
    note = "exact neighbours in place of upstream's approximate index"
    yield compare("members rejected, 6 pools, rejection.mode=knn5", rejected, most=0, note=note)
    yield compare("codes picked, 6 pools", codes, most=1e-12, note=note)


CASES = [images, losses, spaces, assignments]
