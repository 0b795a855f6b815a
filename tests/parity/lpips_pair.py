"""LPIPS of the lpips package and ours, with one random trunk: its weights are not needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from fsig_bench.api.assets import Asset
from fsig_bench.metrics.base import Evidence
from fsig_bench.networks.perceptual import LPIPS, trunk_of


@contextmanager
def random_trunk(net: str) -> Iterator[nn.Sequential]:
    """Inside it `lpips.LPIPS(net=net)` has the random trunk that is handed over."""
    import lpips

    torch.manual_seed(7)
    trunk = trunk_of(net)
    whole = lpips.LPIPS

    def build(*args: Any, **kwargs: Any) -> nn.Module:
        made = whole(*args, **{**kwargs, "pnet_rand": True, "verbose": False})
        # Its slices number their layers as torchvision does.
        names = [name for name, _ in made.net.named_parameters()]
        own = {name: trunk.get_parameter(name.split(".", 1)[1]) for name in names}
        made.net.load_state_dict(own)
        return made

    with mock.patch.object(lpips, "LPIPS", build):
        yield trunk


def asset(file: str, tensors: dict[str, Tensor]) -> Asset:
    """The tensors as a file that is there already."""
    torch.save(tensors, file)
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return Asset(
        file=file, url=None, page="-", sha256=digest, mib=1, licence="-",
        path=str(Path(file).resolve()),
    )  # fmt: skip


def our_lpips(net: Any, trunk: nn.Sequential) -> LPIPS:
    """Ours with this trunk."""
    tensors = {f"features.{k}": v for k, v in trunk.state_dict().items()}
    return LPIPS(net=net, weights=asset(f"{net}.pth", tensors), seed=0, side=None, device="cpu")


def evidence(fake: Tensor, shots: Tensor, perceptual: Any) -> Evidence:
    """What a metric of perceptual distances looks at."""
    return Evidence(
        shots=shots, fake=fake, real=None, extractor=None, perceptual=perceptual, seed=0,
        batch_size=16, source_domain=None,
    )  # fmt: skip


@contextmanager
def small_resize(transforms: Any, side: int) -> Iterator[None]:
    """Upstream's resize to 256 px goes to `side`: the comparison is the same, and quick."""
    whole = transforms.Resize
    with mock.patch.object(transforms, "Resize", lambda size: whole((side, side))):
        yield
