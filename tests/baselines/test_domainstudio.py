"""DomainStudio against hand-worked values of its operators and limits of its loss."""

import copy
import math

import pytest
import torch

from baselines.common.diffusion import linear_abar
from baselines.common.variational import Tables
from baselines.domainstudio import (
    DomainStudio,
    Objective,
    Sampling,
    high_frequency,
    log_relations,
)
from fsig_bench.types import NoProgress

PAPER = {
    "l_vlb": 1.0,
    "l_img": 0.667,
    "l_hf": 0.667,
    "l_hfmse": 0.05,
    "kl_reduction": "sum",
    "kl_direction": "ada_src",
    "pair_t": "per_image",
}


class TinySource:
    device, resolution = "cpu", 16

    def __init__(self, unet):
        self.unet = unet


def method(unet, objective=None, **changes):
    values = {
        "source": TinySource(unet),
        "objective": Objective(**(PAPER | (objective or {}))),
        "iterations": 3,
        "groups": 2,
        "group_size": 3,
        "lr": 1e-3,
        "weight_decay": 0.0,
        "flip": 0.5,
        "final": "raw",
        "ema_keep": 0.9,
        "groups_at_once": None,
        "checkpointing": False,
        "sample": Sampling(kind="ddim", num_steps=3),
    }
    return DomainStudio(**(values | changes))


def shots(k=5):
    return torch.rand(k, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_haar_by_hand():
    assert high_frequency(torch.full((1, 3, 4, 4), 0.7)).abs().max() < 1e-6
    block = torch.zeros(1, 1, 2, 2)
    for (row, col), value in {(0, 0): -0.5, (0, 1): -0.5, (1, 0): -0.5, (1, 1): 1.5}.items():
        one = block.clone()
        one[0, 0, row, col] = 1
        assert high_frequency(one).item() == value
    low, high = torch.tensor([1.0, 1.0]) / math.sqrt(2), torch.tensor([-1.0, 1.0]) / math.sqrt(2)
    bands = low[:, None] * high + high[:, None] * low + high[:, None] * high
    x = torch.randn(2, 3, 8, 8)
    whole = torch.nn.functional.conv2d(x, bands.expand(3, 1, 2, 2), stride=2, groups=3)
    torch.testing.assert_close(high_frequency(x), whole)


def test_relations_of_orthogonal_and_equal_images():
    x = torch.tensor([[1.0, 0, 0, 0], [2.0, 0, 0, 0], [0, 1.0, 0, 0]]).view(3, 1, 2, 2)
    p = log_relations(x, 3).exp()[0]
    e = math.e
    torch.testing.assert_close(p[0], torch.tensor([e / (e + 1), 1 / (e + 1)]))
    torch.testing.assert_close(p[2], torch.tensor([0.5, 0.5]))


def pair(a, b):
    """Log relations whose one row comes from the similarities (a, b)."""
    return torch.tensor([[[a, b]]]).log_softmax(2)


@pytest.mark.parametrize(
    ("src", "ada", "kl"),
    [
        ((0.6, 0.5), (0.5, 0.6), 0.005),
        ((0.9, 0.5), (0.5, 0.9), 0.079),
        ((1.0, -1.0), (-1.0, 1.0), 1.523),
    ],
)
def test_one_row_divergence(src, ada, kl):
    value = Objective(**PAPER).divergence(pair(*ada), pair(*src))
    assert float(value) == pytest.approx(kl, abs=5e-4)


def test_mean_divides_by_all_entries_and_the_code_reverses():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4, 3, 2, generator=g).log_softmax(2) for _ in range(2))
    total = Objective(**PAPER).divergence(a, b)
    mean = Objective(**(PAPER | {"kl_reduction": "mean"})).divergence(a, b)
    back = Objective(**(PAPER | {"kl_direction": "src_ada"})).divergence(a, b)
    torch.testing.assert_close(mean * 6, total)
    by_torch = torch.nn.functional.kl_div(a, b, log_target=True, reduction="none").sum() / 4
    torch.testing.assert_close(back, by_torch)
    assert abs(float(back - total)) > 1e-4


def terms_at_start(unet, objective):
    m = method(unet, objective)
    x0, t, noise = m.batch(shots(), 0, 0)
    tables = Tables.of(linear_abar())
    abar = tables.abar[t][:, None, None, None]
    x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * noise
    with torch.no_grad():
        out = unet(x_t, t)
        return m.objective(out, out.clone(), x0, x_t, noise, t, tables, 3)[1]


def test_relations_cost_nothing_before_the_first_step(tiny_unet):
    terms = terms_at_start(tiny_unet, None)
    assert terms["img"] == pytest.approx(0, abs=1e-6) and terms["hf"] == pytest.approx(0, abs=1e-6)
    assert terms["simple"] > 0 and terms["hfmse"] > 0


def test_plain_fine_tuning_has_the_diffusion_terms_only(tiny_unet):
    plain = {"l_img": 0.0, "l_hf": 0.0, "l_hfmse": 0.0}
    m = method(tiny_unet, plain)
    assert not m.objective.needs_source
    assert m.adapt(shots(), seed=0, progress=NoProgress()).nfe_adapt == 3 * 2 * 3
    assert method(tiny_unet).adapt(shots(), seed=0, progress=NoProgress()).nfe_adapt == 2 * 18


def test_the_source_stays_and_the_adapted_net_moves(tiny_unet):
    before = copy.deepcopy(tiny_unet.state_dict())
    state = method(tiny_unet).adapt(shots(), seed=0, progress=NoProgress())
    for k, v in tiny_unet.state_dict().items():
        assert torch.equal(v, before[k])
    assert any(not torch.equal(state.tensors[k], before[k]) for k in state.tensors)
    assert state.trained_params == sum(p.numel() for p in tiny_unet.parameters())


def test_the_average_lags_behind(tiny_unet):
    start = tiny_unet.state_dict()
    raw, ema = (
        method(tiny_unet, final=w).adapt(shots(), seed=0, progress=NoProgress())
        for w in ("raw", "ema")
    )

    def moved(state):
        return sum(float((state.tensors[k] - start[k]).square().sum()) for k in state.tensors)

    assert 0 < moved(ema) < moved(raw)


def test_relative_distances_hold_the_images_together(tiny_unet):
    """A large pairwise weight keeps the adapted relations nearer to the source's."""
    tables = Tables.of(linear_abar())

    def drift(l_img):
        m = method(tiny_unet, {"l_img": l_img, "l_hf": 0.0, "l_hfmse": 0.0}, iterations=40)
        state = m.adapt(shots(), seed=0, progress=NoProgress())
        net = copy.deepcopy(tiny_unet)
        net.load_state_dict(state.tensors)
        x0, t, noise = m.batch(shots(), 1, 0)
        abar = tables.abar[t][:, None, None, None]
        x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * noise
        with torch.no_grad():
            out = [n(x_t, t) for n in (net, tiny_unet)]
        return m.objective(*out, x0, x_t, noise, t, tables, 3)[1]["img"] / l_img

    assert drift(100.0) < 0.7 * drift(1e-6)


def test_groups_hold_distinct_shots_and_shared_steps_when_asked(tiny_unet):
    x0, t, _ = method(tiny_unet, flip=0.0).batch(shots(5), 0, 0)
    for group in x0.split(3):
        assert len({bytes(x.numpy()) for x in group}) == 3
    assert len(set(t.tolist())) > 2
    _, shared, _ = method(tiny_unet, {"pair_t": "shared"}).batch(shots(5), 0, 0)
    assert all(len(set(group)) == 1 for group in shared.view(2, 3).tolist())
    x0, _, _ = method(tiny_unet).batch(shots(1), 0, 0)
    assert x0.shape[0] == 6


def test_ancestral_and_ddim_samples_differ_and_both_repeat(tiny_unet):
    m = method(tiny_unet)
    state = m.adapt(shots(), seed=0, progress=NoProgress())
    other = method(tiny_unet, sample=Sampling(kind="ancestral", num_steps=3))
    ddim, ancestral = (x.sampler(state)([0, 1]) for x in (m, other))
    assert not torch.allclose(ddim, ancestral)
    assert torch.equal(ancestral, other.sampler(state)([0, 1]))


def test_one_image_has_no_relations():
    with pytest.raises(ValueError, match="group_size=1"):
        method(None, group_size=1)
