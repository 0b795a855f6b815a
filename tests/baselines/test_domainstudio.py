"""DomainStudio against hand-worked values of its operators and limits of its loss."""

import copy
import math

import pytest
import torch
from helpers import composed
from hydra.utils import instantiate
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.common.data_parallel import shard_groups
from baselines.common.diffusion import linear_abar
from baselines.common.finetuning import read
from baselines.common.unet import PixelUNet
from baselines.common.variational import Tables, clean_estimate, noised
from baselines.domainstudio import (
    DomainStudio,
    Objective,
    Sampling,
    high_frequency,
    log_relations,
)
from fsig_bench.api.types import NoProgress
from fsig_bench.runner.device import precision_policy

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
    device, resolution, abar = "cpu", 16, linear_abar()

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
        "prior": None,
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


TABLES = Tables.of(linear_abar())


def terms_at_start(unet, objective):
    m = method(unet, objective)
    x0, t, noise = m.batch(shots(), 0, 0)
    x_t = noised(x0, noise, t, TABLES)
    with torch.no_grad():
        out = unet(x_t, t)
        return read(m.objective(out, out.clone(), x0, x_t, noise, t, TABLES, 3)[1])


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

    def drift(l_img):
        m = method(tiny_unet, {"l_img": l_img, "l_hf": 0.0, "l_hfmse": 0.0}, iterations=40)
        state = m.adapt(shots(), seed=0, progress=NoProgress())
        net = copy.deepcopy(tiny_unet)
        net.load_state_dict(state.tensors)
        x0, t, noise = m.batch(shots(), 1, 0)
        x_t = noised(x0, noise, t, TABLES)
        with torch.no_grad():
            out = [n(x_t, t) for n in (net, tiny_unet)]
        return float(m.objective(*out, x0, x_t, noise, t, TABLES, 3)[1]["img"]) / l_img

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
    ddim, ancestral = (x.sampler(state, draw=0)([0, 1]) for x in (m, other))
    assert not torch.allclose(ddim, ancestral)
    assert torch.equal(ancestral, other.sampler(state, draw=0)([0, 1]))


@pytest.mark.parametrize(
    ("name", "weights", "kl"),
    [
        # Ranges of the paper: 0.1 to 1 for both relations, 0.01 to 0.08 for hfmse.
        ("paper", (1.0, 0.667, 0.667, 0.05), ("sum", "ada_src")),
        # Official code: at its last commit, and at its first release, 20 times less hfmse.
        ("code", (1.0, 4.0, 4.0, 1.0), ("mean", "src_ada")),
        ("code_v0", (1.0, 4.0, 4.0, 0.05), ("mean", "src_ada")),
        ("relative_distance", (1.0, 0.667, 0.0, 0.0), ("sum", "ada_src")),
        ("plain", (1.0, 0.0, 0.0, 0.0), ("sum", "ada_src")),
    ],
)
def test_presets(name, weights, kl):
    words = ["suite=paper", "method=domainstudio", f"method/objective={name}", "dataset=babies"]
    o = instantiate(composed(*words).method.objective)
    assert (o.l_vlb, o.l_img, o.l_hf, o.l_hfmse) == weights
    assert (o.kl_reduction, o.kl_direction, o.pair_t) == (*kl, "per_image")


@pytest.mark.parametrize(("name", "own"), [("paper", True), ("code", False), ("plain", False)])
def test_a_suites_own_weights_count_where_the_preset_has_the_papers(name, own):
    words = ["method=domainstudio", f"method/objective={name}", "dataset=babies"]
    mini, paper = (composed(*words, f"suite={suite}") for suite in ("mini", "paper"))
    found = mini.method.objective.l_img, paper.method.objective.l_img
    assert (found[0] == mini.suite.relative_distance_weights.l_img != found[1]) is own
    assert (found[0] == found[1]) is not own


def test_the_official_training_settings_at_the_papers_scale():
    m = composed("suite=paper", "method=domainstudio", "dataset=folder", "dataset.path=x").method
    assert (m.groups, m.group_size, m.lr, m.weight_decay, m.flip) == (8, 3, 1e-4, 0.0, 0.5)
    assert (m.final, m.ema_keep, m.iterations) == ("raw", 0.9999, 5000)
    assert (m.sample.kind, m.sample.num_steps) == ("ancestral", 1000)
    assert m.source.flags.dropout == 0.1
    assert 0.6 < m.ema_keep**m.iterations < 0.61  # so much of the source an average would keep


def test_relations_of_several_groups_are_cosine_similarities_within_each():
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = log_relations(x, 4)
    assert found.shape == (2, 4, 3)
    for group, rows in zip(x.flatten(1).split(4), found, strict=True):
        for i, row in enumerate(rows):
            others = [group[j] for j in range(4) if j != i]
            cosines = [torch.nn.functional.cosine_similarity(group[i], o, dim=0) for o in others]
            torch.testing.assert_close(row, torch.stack(cosines).log_softmax(0))


def outputs(n=15, side=16, seed=0):
    """(out, out_src, x0, x_t, noise, t) of made-up networks."""
    g = torch.Generator().manual_seed(seed)
    x0 = torch.rand(n, 3, side, side, generator=g) * 2 - 1
    noise = torch.randn(x0.shape, generator=g)
    t = torch.randint(1000, (n,), generator=g)
    out, src = (torch.randn(n, 6, side, side, generator=g) * 0.3 for _ in range(2))
    for a in (out, src):
        a[:, :3] += noise
    return out, src, x0, noised(x0, noise, t, TABLES), noise, t


@pytest.mark.parametrize(("t", "amplified"), [(100, 0.117), (250, 0.92), (500, 11.9), (750, 302)])
def test_a_white_residual_costs_three_times_its_power_in_the_high_band(t, amplified):
    g = torch.Generator().manual_seed(0)
    x0, noise, white = torch.randn(3, 3, 3, 64, 64, generator=g)
    t = torch.full((3,), t)
    x_t = noised(x0, noise, t, TABLES)
    out = torch.cat([noise + 0.1 * white, torch.zeros_like(noise)], 1)
    objective = Objective(**(PAPER | {"l_img": 0.0, "l_hf": 0.0, "l_hfmse": 1.0}))
    cost = objective(out, None, x0, x_t, noise, t, TABLES, 3)[1]["hfmse"]
    assert float(cost) == pytest.approx(3 * 0.01 * amplified, rel=0.03)


def test_the_bound_moves_the_variance_only():
    out, _, *rest = outputs()
    plain = {"l_img": 0.0, "l_hf": 0.0, "l_hfmse": 0.0}
    grads = []
    for l_vlb in (0.0, 1.0):
        leaf = out.clone().requires_grad_(True)
        Objective(**(PAPER | plain | {"l_vlb": l_vlb}))(leaf, None, *rest, TABLES, 3)[0].backward()
        grads.append(leaf.grad)
    assert torch.equal(grads[0][:, :3], grads[1][:, :3]) and grads[0][:, :3].abs().max() > 0
    assert grads[0][:, 3:].abs().max() == 0 < grads[1][:, 3:].abs().amax((1, 2, 3)).min()


def test_parts_of_a_step_add_up_to_its_gradient():
    """Five groups two at a time: the last part has one."""
    objective = Objective(**(PAPER | {"l_img": 50.0, "l_hf": 50.0}))
    out, *rest = outputs()

    def gradient(at_once, weigh):
        leaf = out.clone().requires_grad_(True)
        for part in shard_groups((leaf, *rest), 5, at_once):
            value, _ = objective(*part, TABLES, 3)
            (value * (len(part[0]) / 15 if weigh else 1)).backward(retain_graph=True)
        return leaf.grad

    whole = gradient(None, True)
    torch.testing.assert_close(gradient(2, True), whole)
    # As the official code has it, parts summed without dividing:
    assert (gradient(2, False) - whole).norm() > whole.norm()


def test_the_loss_is_in_single_precision_whatever_the_networks_run_in():
    out, src, *rest = outputs()
    objective = Objective(**PAPER)
    exact = read(objective(out, src, *rest, TABLES, 3)[1])
    with precision_policy("bf16", "cpu"):
        assert (out.flatten(1) @ src.flatten(1).T).dtype == torch.bfloat16
        assert read(objective(out, src, *rest, TABLES, 3)[1]) == exact


class Copies(TorchDispatchMode):
    """Names what an operation brings to the GPU from elsewhere, which the host waits for."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = [
            a for a in args if isinstance(a, torch.Tensor) and a.dim() and a.device.type == "cpu"
        ]
        if given and isinstance(out, torch.Tensor) and out.device.type == "cuda":
            self.seen.append(str(func))
        return out


def test_a_gpu_never_waits_within_the_loss():
    """On made-up CUDA tensors, which no number can be read from."""
    with FakeTensorMode(allow_non_fake_inputs=True), Copies() as copies:
        out = torch.empty(6, 6, 16, 16, device="cuda", requires_grad=True)
        image, t = torch.empty(6, 3, 16, 16, device="cuda"), torch.ones(6, device="cuda").long()
        tables = TABLES.to("cuda")
        copies.seen.clear()
        objective = Objective(**PAPER)
        loss, _ = objective(out, out.detach(), image, image, image, t, tables, 3)
        assert loss.device.type == "cuda" and not copies.seen
        clean_estimate(image, image, t, TABLES)  # tables left on the host: seen
        assert copies.seen


def with_dropout(config, p):
    torch.manual_seed(0)
    return PixelUNet(config | {"dropout": p}, 2).eval()


def test_dropout_is_that_of_the_image_however_a_step_is_cut(unet_config):
    unet = with_dropout(unet_config, 0.3)
    one = method(unet, groups=3, iterations=1).adapt(shots(), seed=0, progress=NoProgress())
    for changes in ({"groups_at_once": 1}, {"groups_at_once": 2, "checkpointing": True}):
        other = method(unet, groups=3, iterations=1, **changes)
        state = other.adapt(shots(), seed=0, progress=NoProgress())
        assert share_changed(one.tensors, state.tensors) < 0.01
    none = method(with_dropout(unet_config, 0.0), groups=3, iterations=1)
    none = none.adapt(shots(), seed=0, progress=NoProgress())
    assert share_changed(one.tensors, none.tensors) > 0.1


def share_changed(a, b):
    return float(torch.cat([((a[n] - b[n]).abs() > 1e-5).flatten() for n in a]).float().mean())


class Killed(NoProgress):
    """Keeps a copy of the checkpoint after `at` steps and goes on from it."""

    def __init__(self, at):
        self.at, self.kept = at, (0, {})

    def save(self, done, tensors):
        if done == self.at:
            self.kept = done, {k: v.clone() for k, v in tensors.items()}

    def load(self):
        return self.kept


@pytest.mark.parametrize("final", ["raw", "ema"])
def test_a_killed_adaptation_with_dropout_ends_with_the_same_bytes(unet_config, final):
    m, progress = method(with_dropout(unet_config, 0.3), final=final), Killed(at=2)
    whole = m.adapt(shots(), seed=0, progress=progress)
    again = m.adapt(shots(), seed=0, progress=progress)
    assert any(k.startswith("average/") for k in progress.kept[1]) == (final == "ema")
    assert all(torch.equal(whole.tensors[k], again.tensors[k]) for k in whole.tensors)


def test_a_model_without_a_variance_head_says_what_to_set(unet_config):
    torch.manual_seed(0)
    unet = PixelUNet(unet_config | {"out_channels": 12}, 2).eval()
    with pytest.raises(ValueError, match=r"no variance head: set method\.objective\.l_vlb=0"):
        method(unet).adapt(shots(), seed=0, progress=NoProgress())
    terms = terms_at_start(unet, {"l_vlb": 0.0})
    assert terms.keys() == {"simple", "img", "hf", "hfmse"}
    m = method(unet, {"l_vlb": 0.0}, iterations=1)
    state = m.adapt(shots(), seed=0, progress=NoProgress())
    assert m.sampler(state, draw=0)([0]).shape == (1, 3, 16, 16)


def test_offloaded_weights_are_not_tuned(tiny_unet):
    with pytest.raises(ValueError, match=r"offload=true is for frozen networks.*groups_at_once=1"):
        method(tiny_unet.to("meta")).adapt(shots(), seed=0, progress=NoProgress())


def test_one_image_has_no_relations():
    with pytest.raises(ValueError, match="group_size=1"):
        method(None, group_size=1)
