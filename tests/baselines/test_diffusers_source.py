"""A folder of diffusers' as the source model: its own schedule and prediction type count."""

import json
import shutil

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DModel,
)
from helpers import make_cell

from baselines.common.diffusers_source import DiffusersSource
from baselines.common.diffusion import Schedule, ancestral_loop, ddim_step, guided_step, predict_x0
from fsig_bench.runner.run import run
from fsig_bench.store.store import Store

SIDE = 16
NET = {
    "sample_size": SIDE,
    "layers_per_block": 1,
    "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
}


def write_model(folder, *, pipeline=False, scheduler=DDPMScheduler, net=None, **schedule):
    """A tiny random model and its scheduler, as `save_pretrained` writes them."""
    torch.manual_seed(0)
    UNet2DModel(**NET | (net or {})).save_pretrained(folder / "unet" if pipeline else folder)
    if schedule:
        made = scheduler(**schedule)
        made.save_pretrained(folder / "scheduler" if pipeline else folder)
    return folder


def source_of(folder, **more):
    fields = {"path": str(folder), "schedule": None, "resolution": SIDE, "device": "cpu"}
    return DiffusersSource(**fields | more)


SCHEDULES = [
    {"beta_schedule": "linear"},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
    {"beta_schedule": "linear", "prediction_type": "sample", "num_train_timesteps": 400},
    {"trained_betas": [0.001 * (i + 1) for i in range(50)], "num_train_timesteps": 50},
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: "-".join(map(str, s.values()))[:40])
def test_every_step_is_that_of_diffusers_own_sampler(schedule, tmp_path):
    write_model(tmp_path, **schedule)
    source = source_of(tmp_path)
    theirs = DDIMScheduler(**schedule, clip_sample=True, set_alpha_to_one=True)
    net = UNet2DModel.from_pretrained(tmp_path).eval()
    steps = Schedule.respaced(10, source.abar)
    assert len(source.abar) == schedule.get("num_train_timesteps", 1000)
    torch.testing.assert_close(source.abar.float(), theirs.alphas_cumprod, rtol=0, atol=1e-7)
    theirs.set_timesteps(10)
    theirs.timesteps = torch.tensor(steps.t[::-1])
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    ours = x.clone()
    with torch.no_grad():
        for i in reversed(range(10)):
            t = steps.t[i]
            # Their step walks back by a fixed stride; here it is the respaced schedule's own.
            x0 = theirs_x0(theirs, net(x, t).sample, t, x)
            x = ddim_step(x, x0, abar=steps.abar[i], abar_prev=steps.abar_prev(i))
            ours, _ = guided_step(source.eps, ours, i, steps)
            # By way of epsilon, x_0 at abar = 2e-9 loses digits: float32's 1e-7 times 2e4.
            slack = 1e-3 if schedule.get("prediction_type") == "v_prediction" else 1e-4
            torch.testing.assert_close(ours, x, rtol=1e-4, atol=slack)


def theirs_x0(scheduler, output, t, x):
    """Diffusers' own estimate of the clean image."""
    return scheduler.step(output, t, x).pred_original_sample


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_training_loss_of_the_right_answer_is_zero(kind, tmp_path):
    """What a perfect network of each kind would say becomes the noise that was added."""
    write_model(tmp_path, beta_schedule="squaredcos_cap_v2", prediction_type=kind)
    source = source_of(tmp_path)
    g = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(3, 3, SIDE, SIDE, generator=g) for _ in range(2))
    t = torch.tensor([3, 500, 900])
    scheduler = DDPMScheduler.from_pretrained(tmp_path)
    x_t = scheduler.add_noise(x0, noise, t)
    truth = {
        "epsilon": noise,
        "sample": x0,
        "v_prediction": scheduler.get_velocity(x0, noise, t),
    }[kind]

    class Perfect(torch.nn.Module):
        def forward(self, x, t, return_dict):
            return (truth,)

    source.unet.net = Perfect()
    torch.testing.assert_close(source.eps(x_t, t), noise, rtol=1e-3, atol=1e-3)
    for n, step in enumerate(t.tolist()):
        estimate = predict_x0(x_t[n], noise[n], float(source.abar[step]), clamp=False)
        torch.testing.assert_close(estimate, x0[n], rtol=1e-2, atol=1e-2)


def test_a_variance_head_is_taken_along(tmp_path):
    write_model(tmp_path, net={"out_channels": 6}, variance_type="learned_range")
    source = source_of(tmp_path)
    assert source.unet.heads == 2
    x = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        whole = UNet2DModel.from_pretrained(tmp_path).eval()(x, 7).sample
    torch.testing.assert_close(source.eps(x, 7), whole[:, :3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "net, schedule, more, words",
    [
        ({"num_class_embeds": 4}, {"beta_schedule": "linear"}, {}, "conditional on classes"),
        ({"in_channels": 1, "out_channels": 1}, {"beta_schedule": "linear"}, {}, "maps 1 to 1"),
        ({}, {"beta_schedule": "linear"}, {"resolution": 64}, r"16 x 16.*suite\.resolution=16"),
        ({}, {"rescale_betas_zero_snr": True}, {}, "pure noise"),
        ({"out_channels": 6}, {"beta_schedule": "linear"}, {}, "variance_type=fixed_small"),
        ({"out_channels": 6}, {"variance_type": "learned"}, {}, "variance_type=learned;"),
        ({}, {}, {}, r"not guessed: .*suite\.source\.schedule="),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(net, schedule, more, words, tmp_path):
    write_model(tmp_path, net=net, **schedule)
    with pytest.raises(ValueError, match=words):
        source_of(tmp_path, **more)


def test_a_scheduler_without_betas_is_not_taken_for_a_linear_one(tmp_path):
    write_model(tmp_path, scheduler=FlowMatchEulerDiscreteScheduler, num_train_timesteps=1000)
    with pytest.raises(ValueError, match=r"states no betas"):
        source_of(tmp_path)


def test_a_learned_variance_is_sampled_as_by_diffusers(tmp_path, monkeypatch):
    schedule = {"variance_type": "learned_range", "num_train_timesteps": 20, "beta_end": 0.3}
    write_model(tmp_path, net={"out_channels": 6}, **schedule)
    source, theirs = source_of(tmp_path), DDPMScheduler(**schedule)
    net = UNet2DModel.from_pretrained(tmp_path).eval()
    x, *draws = torch.randn(21, 2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    mine, other = iter(draws), iter(draws)
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *a, **kw: next(other)
    )
    with torch.no_grad():
        steps = Schedule.respaced(20, source.abar)
        ours = ancestral_loop(source.unet, x, steps, lambda: next(mine))
        for t in reversed(range(20)):
            x = theirs.step(net(x, t).sample, t, x).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-3)


def test_a_stated_schedule_takes_the_place_of_a_missing_one(tmp_path):
    write_model(tmp_path)
    stated = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    source = source_of(tmp_path, schedule=stated)
    expected = DDPMScheduler(**stated).alphas_cumprod.double()
    assert torch.equal(source.abar, expected) and source.unet.inner == "v"


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no diffusion_pytorch_model\.safetensors"):
        source_of(tmp_path)


TOY = ["dataset=babies", "suite/source=diffusers", "dataset.n_ref=100", "k=2", "num_images=8"]
TOY += ["suite.shard_size=8", "batch_size=8", "figures.tsne_points=8", "controls=[]"]


def words_of(folder, method):
    crdi = ["method.draws=1", "method.num_steps=12", "method.t_end=8"]
    own = {"crdi": [*crdi, "method.card.reconstruct_sweep=null"], "source": ["method.num_steps=3"]}
    studio = ["method.iterations=2", "method.groups=1", "method.sample.num_steps=4"]
    studio += ["method.objective.l_vlb=0", "method.sample.kind=ddim"]
    return [*TOY, f"method={method}", *own.get(method, studio), f"suite.source.path={folder}"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """As a pipeline's save_pretrained lays it out, at the mini suite's size."""
    folder = tmp_path_factory.mktemp("pipeline")
    net = {"sample_size": 64}
    return write_model(folder, pipeline=True, net=net, beta_schedule="squaredcos_cap_v2")


def test_the_content_of_the_folder_is_in_the_key(pipeline, tmp_path):
    key = make_cell(*words_of(pipeline, "source")).adapt_key
    moved = tmp_path / "moved"
    shutil.copytree(pipeline, moved)
    assert make_cell(*words_of(moved, "source")).adapt_key == key
    config = moved / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"beta_end": 0.03}))
    assert make_cell(*words_of(moved, "source")).adapt_key != key


@pytest.mark.parametrize("method", ["source", "crdi", "domainstudio", "finetune"])
def test_methods_start_from_it(method, pipeline, tmp_path):
    record, there = run(make_cell(*words_of(pipeline, method)), Store(tmp_path))
    assert not there and record["metrics"]["fd"]["value"] > 0
    assert record["config"]["method"]["source"]["path"] == str(pipeline)
