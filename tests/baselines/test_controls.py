from __future__ import annotations

import importlib
from dataclasses import fields
from typing import get_args

import pytest
import torch
import yaml

from baselines.common.diffusion import Solver
from baselines.copy import Copy
from baselines.real import Real
from baselines.source import Source
from fsig_bench.api.places import ROOT
from fsig_bench.api.types import NoProgress


@pytest.fixture
def shots() -> torch.Tensor:
    return torch.rand(4, 3, 8, 8) * 2 - 1


@pytest.mark.parametrize("name", ["crdi", "source", "copy", "real"])
def test_the_yaml_holds_every_setting_and_no_other(name):
    config = yaml.safe_load((ROOT / "conf" / "method" / f"{name}.yaml").read_text())
    card, target = config.pop("card"), config.pop("_target_")
    assert card["name"] == name
    assert card["kind"] in ("method", "control")
    assert isinstance(card["uses_shots"], bool)
    module, method = target.rsplit(".", 1)
    assert set(config) == {f.name for f in fields(getattr(importlib.import_module(module), method))}


def test_copy_replays_the_shots_in_turn(shots):
    method = Copy()
    state = method.adapt(shots, seed=3, progress=NoProgress())
    assert torch.equal(method.sampler(state, draw=0)([0, 5, 7]), shots[[0, 1, 3]])


@pytest.mark.parametrize("solver", get_args(Solver))
def test_source_draws_the_same_image_in_any_batch_and_ignores_the_shots(toy_source, shots, solver):
    method = Source(source=toy_source, solver=solver, num_steps=5)
    state = method.adapt(shots, seed=1, progress=NoProgress())
    draw = method.sampler(state, draw=0)
    images = draw([7, 8, 9])
    assert images.shape == (3, 3, 8, 8)
    assert images.abs().max() <= 1
    torch.testing.assert_close(images[1], draw([8])[0])
    assert not torch.equal(images[0], images[1])
    other = method.sampler(method.adapt(-shots, seed=1, progress=NoProgress()), draw=0)
    assert torch.equal(other([8]), draw([8]))
    toy_source.calls = 0
    draw([0, 1])
    assert toy_source.calls == 2 * method.nfe_per_image


# Fewer steps of DDIM shrink the spread; the second order keeps it.
@pytest.mark.parametrize(("solver", "num_steps"), [("ddim", 100), ("dpmpp_2m", 25)])
def test_source_samples_have_the_source_distribution(toy_source, solver, num_steps):
    method = Source(source=toy_source, solver=solver, num_steps=num_steps)
    state = method.adapt(torch.zeros(1, 3, 8, 8), seed=0, progress=NoProgress())
    images = method.sampler(state, draw=0)(range(100))
    assert images.mean().item() == pytest.approx(toy_source.mean, abs=0.02)
    assert images.std().item() == pytest.approx(toy_source.spread, rel=0.1)


class Numbered:
    """Fresh image i is uniformly i mod 256."""

    def load(self, indices):
        levels = torch.tensor([i % 256 for i in indices], dtype=torch.uint8)
        return levels[:, None, None, None].expand(-1, 3, 2, 2)


def test_real_gives_each_draw_its_own_stretch_of_fresh_images(shots):
    method = Real(images=Numbered())
    for draw in (0, 1):
        state = method.adapt(shots, seed=0, progress=NoProgress())
        levels = (method.sampler(state, draw=draw)([0, 5])[:, 0, 0, 0] + 1) * 127.5
        expected = [float((draw * 1_000_000 + i) % 256) for i in (0, 5)]
        assert levels.tolist() == pytest.approx(expected, abs=1e-3)
