"""The warm-up of `preflight=only`: bounded, and right about a pace that is known."""

import time
from dataclasses import dataclass, replace

import pytest
import torch
from helpers import BRIEF, build, make_cell
from torch import nn

from fsig_bench.api.types import State
from fsig_bench.runner.evaluations import Evaluations, LimitReached
from fsig_bench.runner.warm_up import other_choices, warm_up
from fsig_bench.store.store import Store

SMALL = [*BRIEF, "dataset=babies", "k=4", "controls=[]", "num_images=8", "suite.shard_size=4"]
SMALL += ["batch_size=4", "dataset.n_ref=100"]


class Slow(nn.Module):
    """A network that sleeps."""

    def __init__(self, seconds):
        super().__init__()
        self.inner, self.seconds = nn.Linear(2, 2), seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return self.inner(x)


@dataclass
class Plodding:
    """A method that reports nothing before its end, at 0.05 s an evaluation of two images."""

    evaluations: int
    nfe_per_image: float = 10.0

    def planned_nfe(self, k):
        return 2 * self.evaluations

    def adapt(self, shots, *, seed, progress):
        net = Slow(0.05)
        for _ in range(self.evaluations):
            net(torch.zeros(2, 2)).sum().backward()
        progress.save(1, {"x": torch.zeros(100)})
        return State(tensors={"x": torch.zeros(10)}, seed=seed, trained_params=0, nfe_adapt=0)

    def sampler(self, state, *, draw):
        net = Slow(0.01)

        def draws(indices):
            for _ in range(10):
                net(torch.zeros(len(indices), 2))
            return torch.zeros(len(indices), 3, 64, 64)

        return draws


def test_evaluations_are_those_of_outermost_networks_by_image():
    net = Slow(0.02)
    with Evaluations(60) as seen:
        for batch in (1, 3):
            net(torch.zeros(batch, 2))
    assert list(seen.images.values()) == [4] and seen.main == id(net)
    assert 0.01 <= seen.each_forward_s <= 0.03
    assert seen.each_forward_s <= seen.each_s
    net(torch.zeros(5, 2))
    assert seen.images[id(net)] == 4  # nothing is counted outside


def test_the_limit_lets_one_evaluation_end_with_what_follows_it():
    net, began, ended = Slow(0.05), 0, 0
    with Evaluations(0.0) as seen, pytest.raises(LimitReached):
        for _ in range(3):
            began += 1
            net(torch.zeros(1, 2))
            time.sleep(0.1)
            ended += 1
    assert (began, ended) == (2, 1)
    assert seen.each_s == pytest.approx(0.15, abs=0.04)


def test_a_method_that_reports_nothing_is_timed_by_its_plan_within_the_bound(tmp_path):
    cell, store = make_cell(*SMALL, "method=copy"), Store(tmp_path)
    began = time.perf_counter()
    seen = warm_up(cell, Plodding(4000), store, limit_s=1.0)
    assert time.perf_counter() - began < 20
    assert seen.adapt_s == pytest.approx(4000 * 0.05, rel=0.3)
    assert seen.sample_s == pytest.approx(8 * 10 * 0.05 / 2, rel=0.3)
    assert seen.score_s > 0 and seen.rebuild_s == 0
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_whole_adaptation_leads_on_to_sampling_and_to_the_state(tmp_path):
    cell, store = make_cell(*SMALL, "method=copy"), Store(tmp_path)
    seen = warm_up(cell, Plodding(2), store, limit_s=20)
    assert seen.adapt_s == pytest.approx(0.1, abs=0.08)
    assert seen.sample_s == pytest.approx(4 * 0.1, rel=0.5)  # two at once, ten evaluations each
    assert seen.state_bytes == 400


def test_a_warm_up_extrapolates_and_keeps_nothing(tmp_path):
    words = [*SMALL, "method=finetune", "method.iterations=400", "method.groups=1"]
    cell, store = make_cell(*words, "method.sample.num_steps=3"), Store(tmp_path)
    seen = warm_up(cell, build(cell), store, limit_s=2.0)
    assert seen.adapt_s > 3 and seen.sample_s > 0 and seen.peak_gib > 0
    assert not list(tmp_path.rglob("*.safetensors"))


def test_other_precisions_are_tried_beside(tmp_path):
    cell, store = make_cell(*SMALL, "method=source"), Store(tmp_path)
    cell = replace(cell, place=replace(cell.place, device="cpu"))
    found = other_choices(cell, store, limit_s=0.5)
    assert [words for words, _ in found] == ["precision.adapt=bf16 precision.sample=bf16"]
    assert all(seen.sample_s > 0 for _, seen in found)
