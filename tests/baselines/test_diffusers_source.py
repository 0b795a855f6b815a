"""A source model from a folder of diffusers' layout: its schedule, its predictions, its refusals."""

import json

import pytest
import torch
from helpers import build, make_cell

from baselines.common.diffusers_source import DiffusersSource
from baselines.common.diffusion import Schedule, ancestral_loop, ddim_loop
from fsig_bench.store.store import Store

UNET = {
    "sample_size": 16,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 1,
    "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
    "attention_head_dim": 4,
}


def scheduler(**changes):
    from diffusers import DDPMScheduler

    return DDPMScheduler(**changes)


def save(folder, *, unet=None, **schedule):
    from diffusers import UNet2DModel

    net = UNet2DModel(**UNET | (unet or {}))
    net.save_pretrained(folder)
    scheduler(**schedule).save_pretrained(folder)
    return net.eval()


def source_of(folder, *, size=16, schedule=None):
    return DiffusersSource(path=str(folder), schedule=schedule, image_size=size, device="cpu")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


SCHEDULES = {
    "linear": {},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "few steps": {"num_train_timesteps": 200, "beta_end": 0.1},
    "given betas": {
        "trained_betas": [0.001 * (i + 1) for i in range(100)],
        "num_train_timesteps": 100,
    },
    "v": {"prediction_type": "v_prediction"},
    "cosine v": {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
    "x0": {"prediction_type": "sample"},
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@torch.no_grad()
def test_ddim_is_that_of_diffusers_step_by_step(schedule, tmp_path):
    from diffusers import DDIMScheduler

    net, source = save(tmp_path, **schedule), source_of(tmp_path)
    theirs = DDIMScheduler.from_config(scheduler(**schedule).config, set_alpha_to_one=True)
    torch.testing.assert_close(source.abar.float(), theirs.alphas_cumprod, rtol=2e-5, atol=1e-8)
    steps = len(source.abar)
    theirs.set_timesteps(steps)  # each one, so that "the step before" is the same for both
    ours = Schedule.respaced(steps, source.abar)
    x = torch.randn(2, 3, 16, 16)
    for i in [steps - 1, steps - 2, steps // 2, 5, 1, 0]:
        out = net(x, i, return_dict=False)[0]
        expected = theirs.step(out, i, x, use_clipped_model_output=True).prev_sample
        mine = one_step(source, x, ours, i)
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=2e-3)
        x = expected


def one_step(source, x, schedule, i):
    from baselines.common.diffusion import ddim_step, predict_x0

    abar = schedule.abar[i]
    x0 = predict_x0(x, source.eps(x, schedule.t[i]), abar)
    return ddim_step(x, x0, abar=abar, abar_prev=schedule.abar_prev(i))


@torch.no_grad()
def test_a_learned_variance_is_sampled_as_by_diffusers(tmp_path, monkeypatch):
    told = {"variance_type": "learned_range", "num_train_timesteps": 20, "beta_end": 0.3}
    net = save(tmp_path, unet={"out_channels": 6}, **told)
    source = source_of(tmp_path)
    assert source.unet.heads == 2
    draws = [torch.randn(2, 3, 16, 16) for _ in range(20)]
    theirs, x = scheduler(**told), torch.randn(2, 3, 16, 16)
    left = iter(draws)
    mine = ancestral_loop(source.unet, x, Schedule.respaced(20, source.abar), lambda: next(left))
    left = iter(draws)
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *a, **kw: next(left)
    )
    for i in reversed(range(20)):
        x = theirs.step(net(x, i, return_dict=False)[0], i, x).prev_sample
    torch.testing.assert_close(mine, x, rtol=1e-3, atol=1e-3)


def test_another_schedule_gives_other_images(tmp_path):
    save(tmp_path)
    x = torch.randn(1, 3, 16, 16)

    def image():
        source = source_of(tmp_path)
        return ddim_loop(source.eps, x, Schedule.respaced(5, source.abar))

    linear = image()
    edit(tmp_path / "scheduler_config.json", beta_schedule="squaredcos_cap_v2")
    assert not torch.allclose(linear, image(), atol=1e-2)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"num_class_embeds": 10}, "takes a class"),
        ("config.json", {"in_channels": 1}, "1 channels in and 3 out"),
        ("config.json", {"out_channels": 6}, "variance_type='fixed_small'"),
        ("config.json", {"_class_name": "UNet2DConditionModel"}, "UNet2DConditionModel"),
        ("config.json", {"time_embedding_type": "fourier"}, "fourier"),
        ("config.json", {"sample_size": 32}, "32 px, and the suite has 16 px"),
        ("scheduler_config.json", {"beta_schedule": "sigmoid"}, "beta_schedule='sigmoid'"),
        ("scheduler_config.json", {"beta_schedule": None}, "does not say beta_schedule"),
        ("scheduler_config.json", {"prediction_type": "flow"}, "prediction_type='flow'"),
        ("scheduler_config.json", {"rescale_betas_zero_snr": True}, "without signal"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(file, changes, message, tmp_path):
    save(tmp_path)
    edit(tmp_path / file, **changes)
    with pytest.raises(ValueError, match=message):
        source_of(tmp_path)


def test_a_schedule_is_never_guessed(tmp_path):
    save(tmp_path)
    (tmp_path / "scheduler_config.json").unlink()
    with pytest.raises(ValueError, match="holds no scheduler_config.json.*suite.source.schedule="):
        source_of(tmp_path)
    stated = {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 100}
    with pytest.raises(ValueError, match="lacks prediction_type"):
        source_of(tmp_path, schedule=stated)
    source = source_of(tmp_path, schedule=stated | {"prediction_type": "v_prediction"})
    assert len(source.abar) == 100 and source.unet.inner == "v"


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path):
    save(tmp_path)
    edit(tmp_path / "config.json", layers_per_block=2)
    with pytest.raises(ValueError, match="does not fit its config.json"):
        source_of(tmp_path).unet  # noqa: B018


def test_a_pipeline_folder_and_its_unet_are_the_same_model(tmp_path):
    from diffusers import UNet2DModel

    UNet2DModel(**UNET).save_pretrained(tmp_path / "unet")
    scheduler(num_train_timesteps=50).save_pretrained(tmp_path / "scheduler")
    for folder in (tmp_path, tmp_path / "unet"):
        assert len(source_of(folder).abar) == 50


WORDS = ["dataset=babies", "k=3", "suite/source=diffusers"]
WORDS += ["num_images=4", "suite.shard_size=4", "device=cpu"]
FEW = {
    "crdi": ["method.draws=1", "method.t_end=8", "method.num_steps=12"],
    "source": ["method.num_steps=3"],
    "domainstudio": ["method.iterations=2", "method.groups=1", "method.sample.num_steps=3"],
}
FEW["finetune"] = FEW["domainstudio"]


def cell_of(method, folder, *words):
    return make_cell(
        f"method={method}", f"suite.source.path='{folder}'", *WORDS, *FEW[method], *words
    )


@pytest.mark.parametrize("method", FEW)
def test_every_diffusion_method_runs_on_it(method, tmp_path):
    from fsig_bench.api.images import to_float
    from fsig_bench.api.types import NoProgress

    folder = tmp_path / "a model"
    save(
        folder,
        unet={"out_channels": 6, "sample_size": 64},
        variance_type="learned_range",
        beta_schedule="squaredcos_cap_v2",
        num_train_timesteps=100,
    )
    cell = cell_of(method, folder)
    made = build(cell)
    state = made.adapt(to_float(cell.dataset.shots(3, 0)), seed=0, progress=NoProgress())
    images = made.sampler(state)([0, 1])
    assert images.shape == (2, 3, 64, 64) and torch.isfinite(images).all()


def test_keys_follow_the_files_and_not_their_place(tmp_path):
    save(tmp_path / "a", unet={"sample_size": 64})
    (tmp_path / "a").rename(tmp_path / "b")
    first = cell_of("source", tmp_path / "b").adapt_key
    (tmp_path / "b").rename(tmp_path / "c")
    assert cell_of("source", tmp_path / "c").adapt_key == first
    edit(tmp_path / "c" / "scheduler_config.json", beta_end=0.03)
    second = cell_of("source", tmp_path / "c").adapt_key
    weights = tmp_path / "c" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert len({first, second, cell_of("source", tmp_path / "c").adapt_key}) == 3


def test_a_folder_given_as_weights_is_named_for_what_it_is(tmp_path):
    save(tmp_path)
    words = ["dataset=babies", f"suite.source.weights='{tmp_path}'"]
    with pytest.raises(FileNotFoundError, match="suite/source=diffusers suite.source.path="):
        make_cell("method=source", *words).adapt_key  # noqa: B018


@pytest.mark.slow
def test_a_whole_run_leaves_the_model_in_its_record(tmp_path):
    from fsig_bench.runner.run import run

    save(tmp_path / "model", unet={"sample_size": 64}, beta_schedule="squaredcos_cap_v2")
    small = ["dataset.n_ref=100", "figures.tsne_points=12", "network@suite.extractor=random_trunk"]
    cell = cell_of("source", tmp_path / "model", *small, "network@suite.perceptual=random_trunk")
    record, _ = run(cell, Store(tmp_path / "results"))
    assert record["weights"][str(tmp_path / "model")]
    assert record["metrics"]["fd"]["extractor"] == "random-trunk"
