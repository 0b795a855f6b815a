"""Light tuning: what is fitted, where it starts, and that the rest is the source model's."""

import copy

import pytest
import torch
from helpers import composed

from baselines.common.diffusion import linear_abar
from baselines.domainstudio import Objective, Sampling
from baselines.finetune import BiasNorm, FineTune, LoRA
from fsig_bench.api import NoProgress

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
    plain = composed("method=finetune", "dataset=babies").method
    light = composed(f"method=finetune_{name}", "dataset=babies").method
    assert light._target_ == "baselines.finetune.FineTune"
    for key in set(plain) - {"card", "_target_"}:
        assert light[key] == plain[key], key


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="rank=0"):
        LoRA(**(LOW | {"rank": 0}))
    with pytest.raises(ValueError, match="choose one of attention, all"):
        LoRA(**(LOW | {"where": "conv"}))
