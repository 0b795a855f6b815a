"""Light tuning and prior preservation: what is fitted, what holds it to the source model."""

import copy
import dataclasses

import pytest
import torch
from helpers import composed

from baselines.common.diffusion import linear_abar
from baselines.common.dropout import ImageSeeds
from baselines.common.unet import PixelUNet
from baselines.common.variational import Tables, noised
from baselines.domainstudio import DomainStudio, Objective, Prior, Sampling
from baselines.finetune import BiasNorm, FineTune, LoRA
from fsig_bench.api import NoProgress, to_float, to_uint8
from fsig_bench.runner.contract_trial import Killed, WatchedProgress

PLAIN = dict.fromkeys(("l_img", "l_hf", "l_hfmse"), 0.0)
PLAIN |= {"l_vlb": 1.0, "kl_reduction": "sum", "kl_direction": "ada_src", "pair_t": "per_image"}
LOW = {"rank": 2, "alpha": 2.0, "where": "all", "lr_factor": 10.0}


class TinySource:
    device, resolution, abar = "cpu", 16, linear_abar()

    def __init__(self, unet):
        self.unet = unet


def shots(k=5):
    return torch.rand(k, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def method(unet, tune, **changes):
    values = {
        "source": TinySource(unet),
        "objective": Objective(**PLAIN),
        "iterations": 2,
        "groups": 1,
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
        "tune": tune,
    }
    return FineTune(**(values | changes))


@pytest.mark.parametrize("tune", [LoRA(**LOW), BiasNorm(lr_factor=10.0)], ids=["lora", "bias_norm"])
@pytest.mark.parametrize("final", ["raw", "ema"])
def test_few_numbers_are_fitted_and_the_state_holds_them_alone(tiny_unet, tune, final):
    before = copy.deepcopy(tiny_unet.state_dict())
    m = method(tiny_unet, tune, final=final)
    state = m.adapt(shots(), seed=0, progress=NoProgress())
    assert state.trained_params == sum(v.numel() for v in state.tensors.values())
    assert 0 < state.trained_params < 0.7 * sum(p.numel() for p in tiny_unet.parameters())
    assert all(torch.equal(v, before[name]) for name, v in tiny_unet.state_dict().items())
    drawn = m.sampler(state, draw=0)([0, 1])
    again = method(tiny_unet, tune, final=final).sampler(state, draw=0)([0, 1])
    assert torch.equal(drawn, again)
    untuned = method(tiny_unet, tune, final=final, iterations=0)
    start = untuned.adapt(shots(), seed=0, progress=NoProgress())
    assert not torch.allclose(drawn, untuned.sampler(start, draw=0)([0, 1]))


def test_a_low_rank_change_starts_at_nothing_and_is_of_its_rank(tiny_unet):
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 700])
    m = method(tiny_unet, LoRA(**LOW))
    net = m.network(0)
    with torch.no_grad():
        assert torch.equal(net(x, t), tiny_unet(x, t))
    state = m.adapt(shots(), seed=0, progress=NoProgress())
    tuned = (m.restored(state).net.conv_in.weight - tiny_unet.net.conv_in.weight).detach()
    assert int(torch.linalg.matrix_rank(tuned.flatten(1), rtol=1e-3)) == 2


def test_the_number_of_fitted_values_is_that_of_the_formula(tiny_unet):
    layers = [
        v
        for n, v in tiny_unet.named_parameters()
        if n.endswith(("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight"))
    ]
    m = method(tiny_unet, LoRA(**(LOW | {"where": "attention"})))
    fitted = sum(p.numel() for p in m.network(0).parameters() if p.requires_grad)
    assert layers and fitted == sum(2 * (len(v) + v[0].numel()) for v in layers)


def test_biases_and_norms_are_all_that_bias_norm_fits(tiny_unet):
    net = method(tiny_unet, BiasNorm(lr_factor=1.0)).network(0)
    for name, value in net.named_parameters():
        assert value.requires_grad == (name.endswith("bias") or "norm" in name), name


@pytest.mark.parametrize("name", ["lora", "bias_norm"])
def test_a_preset_changes_what_is_tuned_and_nothing_else(name):
    # The mini suite has searched plain fine-tuning's settings and not those of the others.
    plain = composed("suite=paper", "method=finetune", "dataset=babies").method
    light = composed("suite=paper", f"method=finetune_{name}", "dataset=babies").method
    assert light._target_ == "baselines.finetune.FineTune"
    for key in set(plain) - {"card", "_target_"}:
        assert light[key] == plain[key], key


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="rank=0"):
        LoRA(**(LOW | {"rank": 0}))
    with pytest.raises(ValueError, match="choose one of attention, all"):
        LoRA(**(LOW | {"where": "conv"}))


def whole(unet, prior=None, **changes):
    """Plain fine-tuning of every weight, with or without the second term."""
    light = method(unet, LoRA(**LOW), **changes)
    names = {f.name for f in dataclasses.fields(DomainStudio)} - {"prior"}
    return DomainStudio(**{name: getattr(light, name) for name in names}, prior=prior)


DRAWN = {"kind": "ddim", "num_steps": 3}
PRIOR = Prior(weight=2.0, images=5, **DRAWN)


def test_the_prior_is_what_the_source_model_draws(tiny_unet):
    drawn = whole(tiny_unet, PRIOR).draw_prior(3)["prior"]
    source = whole(tiny_unet).sampler_of(tiny_unet, 3, "prior", **DRAWN)
    assert drawn.dtype == torch.uint8 and drawn.shape == (5, 3, 16, 16)
    assert torch.equal(drawn, to_uint8(source(range(5))))
    assert whole(tiny_unet).draw_prior(3) == {}


def test_the_term_is_the_weighted_error_of_the_rows():
    tables = Tables.of(TinySource(None).abar)
    drawn = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8)
    x0, t, noise, seeds = batch = PRIOR.batch(drawn, seed=1, step=2, count=6, steps=1000)
    assert all((to_float(drawn) == image).flatten(1).all(1).any() for image in x0)
    assert len(set(seeds.tolist())) == 6 and int(t.max()) < 1000
    inputs = []

    def net(x, steps):
        inputs.append((x, steps))
        return torch.cat([torch.zeros_like(x), torch.ones_like(x)], 1)

    rows, held = torch.tensor([4, 1]), ImageSeeds()
    value = PRIOR.term(net, held, batch, rows, tables)
    assert float(value) == pytest.approx(2 * float(noise[rows].square().mean()), rel=1e-6)
    assert torch.equal(inputs[0][0], noised(x0, noise, t, tables)[rows])
    assert torch.equal(inputs[0][1], t[rows]) and torch.equal(held.values, seeds[rows])


def test_the_samples_of_the_term_do_not_depend_on_how_the_tuned_net_is_sampled(tiny_unet):
    coarse = whole(tiny_unet, PRIOR, sample=Sampling(kind="dpmpp_2m", num_steps=2))
    assert torch.equal(
        coarse.draw_prior(3)["prior"], whole(tiny_unet, PRIOR).draw_prior(3)["prior"]
    )
    assert coarse.planned_nfe(5) == whole(tiny_unet, PRIOR).planned_nfe(5)


def test_recomputed_activations_read_their_own_seeds_of_dropout(unet_config):
    def tuned(checkpointing):
        torch.manual_seed(0)
        net = PixelUNet(unet_config | {"dropout": 0.5}, 2).eval()
        few = {"iterations": 1, "lr": 1e-2, "checkpointing": checkpointing}
        return whole(net, PRIOR, **few).adapt(shots(), seed=0, progress=NoProgress()).tensors

    kept, recomputed = tuned(False), tuned(True)
    for name, value in kept.items():
        torch.testing.assert_close(recomputed[name], value, rtol=1e-3, atol=1e-4)


def test_evaluations_count_drawing_and_the_further_pass(tiny_unet):
    plain, held = whole(tiny_unet), whole(tiny_unet, PRIOR)
    # Two steps of three images; five samples of three steps each.
    assert plain.planned_nfe(5) == 6 and held.planned_nfe(5) == 12 + 15
    assert held.adapt(shots(), seed=0, progress=NoProgress()).nfe_adapt == 27


@pytest.mark.parametrize("kill_at", [0, 1])
def test_a_killed_adaptation_ends_in_the_same_bytes_and_draws_once(tiny_unet, monkeypatch, kill_at):
    held = whole(tiny_unet, PRIOR)
    expected = held.adapt(shots(), seed=0, progress=NoProgress()).tensors
    kept = WatchedProgress(kill_at=kill_at)
    with pytest.raises(Killed):
        held.adapt(shots(), seed=0, progress=kept)
    monkeypatch.setattr(Prior, "draw", lambda *_: pytest.fail("the samples were drawn again"))
    kept.kill_at = -1
    got = held.adapt(shots(), seed=0, progress=kept).tensors
    assert all(torch.equal(v, got[name]) for name, v in expected.items())


def test_it_holds_the_net_to_the_source(tiny_unet):
    few = {"iterations": 50, "lr": 5e-3, "objective": Objective(**PLAIN | {"l_vlb": 0.0})}
    sixteen = Prior(weight=4.0, images=16, **DRAWN)
    drawn = sixteen.draw(whole(tiny_unet).sampler_of(tiny_unet, 0, "prior", **DRAWN))
    x0, t, noise, _ = sixteen.batch(drawn, 9, 0, count=64, steps=1000)

    def error(prior):
        tuned = whole(tiny_unet, prior, **few)
        net = tuned.restored(tuned.adapt(torch.ones(5, 3, 16, 16), seed=0, progress=NoProgress()))
        x_t = noised(x0, noise, t, Tables.of(TinySource(None).abar))
        with torch.no_grad():
            return float((net(x_t, t)[:, :3] - noise).square().mean())

    held, free = error(sixteen), error(None)
    assert held < 0.95 * free


def test_shares_of_a_step_add_up_to_it(tiny_unet):
    step = {"groups": 2, "iterations": 1}
    at_once = whole(tiny_unet, PRIOR, **step).adapt(shots(), seed=0, progress=NoProgress())
    shared = whole(tiny_unet, PRIOR, **step, groups_at_once=1).adapt(
        shots(), seed=0, progress=NoProgress()
    )
    for name, value in at_once.tensors.items():
        # Of one Adam step of size 1e-3, where a gradient near 0 is rounded otherwise.
        torch.testing.assert_close(shared.tensors[name], value, rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("values", [{"weight": 0.0, "images": 5}, {"weight": 1.0, "images": 0}])
def test_a_term_that_does_nothing_is_refused(values):
    with pytest.raises(ValueError, match="method/objective=plain leaves the term out"):
        Prior(**values, **DRAWN)
