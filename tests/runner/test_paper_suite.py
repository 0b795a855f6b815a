"""suite=paper at toy width: the same code as at 256 px, on checkpoints written here."""

import os
from pathlib import Path

import pytest
import torch
from baselines_foreign import (
    SMALL,
    Tape,
    adm_forward,
    ldm_nets,
    rosinality_critic_forward,
    rosinality_forward,
    write_ldm,
)
from helpers import ROOT, make_cell
from PIL import Image
from small_methods import METHODS
from small_methods import SMALL as QUICK

from baselines.common.rosinality import rosinality_architecture
from fsig_bench.faceworld.render import render
from fsig_bench.runner.run import run
from fsig_bench.store.store import Store

FEWSHOT = Path(os.environ.get("FSIG_FEWSHOT", ROOT.parent / "shared" / "data" / "fewshot"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Random checkpoints in the upstream layouts, and folders of images."""
    root = tmp_path_factory.mktemp("paper")
    tape = Tape()
    with torch.no_grad():
        adm_forward(tape, SMALL, torch.zeros(1, 3, 32, 32), torch.zeros(1))
    torch.save(tape.state, root / "ffhq.pt")
    tape = Tape()
    with torch.no_grad():
        rosinality_forward(tape, rosinality_architecture(16, 2), torch.randn(1, 512))
        opponent, small = Tape(1), rosinality_architecture(16, 2)
        rosinality_critic_forward(opponent, small, torch.zeros(2, 3, 16, 16))
    torch.save({"g_ema": tape.state, "d": opponent.state}, root / "550000.pt")
    for split, count in (("shots", 4), ("reference", 30)):
        (root / split).mkdir()
        images = render("babies", "shots" if split == "shots" else "reference", range(count))[0]
        for n, image in enumerate(images):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / split / f"{n}.png")
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "cache"))


def cell_of(world, method, resolution, *words):
    return make_cell(
        "suite=paper",
        f"method={method}",
        "dataset=folder",
        f"dataset.path={world / 'shots'}",
        f"dataset.reference={world / 'reference'}",
        "k=4",
        "num_images=8",
        "batch_size=8",
        "suite.shard_size=8",
        "device=cpu",
        "controls=[]",
        "figures.tsne_points=20",
        f"suite.resolution={resolution}",
        "network@suite.extractor=random_trunk",
        "network@suite.perceptual=random_trunk",
        *words,
    )


ADM = ["suite.source.flags.image_size=32", "suite.source.flags.num_channels=32"]
ADM += ["suite.source.flags.channel_mult=[1,2,2]", "suite.source.flags.num_head_channels=16"]
ADM += ["suite.source.flags.attention_resolutions=[16,8]"]
DIFFUSION = {
    "crdi": QUICK["crdi"],
    "source": ["method.num_steps=4"],
    "domainstudio": ["method.iterations=2", "method.groups=1", "method.sample.num_steps=4"],
    "finetune": ["method.iterations=2", "method.groups=1", "method.sample.num_steps=4"],
}


@pytest.mark.parametrize("method", DIFFUSION)
def test_methods_run_on_an_adm_checkpoint(method, world, tmp_path):
    own = [f"suite.source.weights.path={world / 'ffhq.pt'}", *ADM, *DIFFUSION[method]]
    cell = cell_of(world, method, 32, *own)
    record, _ = run(cell, Store(tmp_path / "results"))
    assert record["suite"] == "paper" and record["metrics"]["fd"]["value"] > 0
    assert record["metrics"]["factor_coverage"]["value"] is None
    assert len(record["assets"]["ffhq.pt"]["sha256"]) == 64
    # Another checkpoint is another run.
    other = world / "other.pt"
    state = torch.load(world / "ffhq.pt", weights_only=True)
    torch.save({k: v + 1e-3 for k, v in state.items()}, other)
    words = [w for w in own if "weights.path" not in w]
    moved = cell_of(world, method, 32, f"suite.source.weights.path={other}", *words)
    assert moved.run_id != cell.run_id and moved.sample_key != cell.sample_key


GAN = {
    "gan_inversion": ["method.projector.steps=2", "method.space_count=600"],
    "genda": ["method.updates=1", "method.batch=2"],
}


@pytest.mark.parametrize("method", GAN)
def test_methods_run_on_a_rosinality_checkpoint(method, world, tmp_path):
    own = [f"suite.generator.weights.path={world / '550000.pt'}", "suite.generator.resolution=16"]
    record, _ = run(cell_of(world, method, 16, *own, *GAN[method]), Store(tmp_path / "results"))
    assert record["metrics"]["fd"]["value"] > 0
    assert "License-NC" in record["assets"]["550000.pt"]["licence"]


def test_d2c_runs_on_a_latent_diffusion_model(world, tmp_path):
    write_ldm(tmp_path, ldm_nets())
    files = {"autoencoder": "vq.safetensors", "autoencoder_config": "vq.json"}
    files |= {"prior": "unet.safetensors", "prior_config": "unet.json"}
    own = ["suite/latent_backend=ldm_celebahq"]
    for part, name in files.items():
        at = f"suite.latent_backend.{part}"
        own += [f"{at}.path={tmp_path / name}", f"{at}.sha256=null"]
    own += ["suite/source_images=folder"]
    own += [f"suite.source_images.files={world / 'reference'}"]
    fit = [f"suite.latent_backend.{w}" for w in ("least_rebuilt=-1e9", "most_spread=1e9")]
    own += ["method.unlabelled_count=24", "method.held_out_count=8", "method.num_steps=3"]
    with pytest.raises(ValueError, match=r"returns -?\d+\.\d+ of their variance.*vqvae"):
        run(cell_of(world, "d2c", 16, *own), Store(tmp_path / "results"))  # random networks
    own += fit
    record, _ = run(cell_of(world, "d2c", 16, *own), Store(tmp_path / "results"))
    assert record["metrics"]["fd"]["value"] > 0 and record["nfe_adapt"] == (24 + 8) * 3
    assert "D2C-style" in record["config"]["method"]["card"]["label"]
    with pytest.raises(ValueError, match="needs `backend`, and suite=paper has none"):
        cell_of(world, "d2c", 16)


def test_a_checkpoint_of_another_size_is_refused_with_what_to_check(world, tmp_path):
    own = [f"suite.source.weights.path={world / 'ffhq.pt'}", *ADM, "method.num_steps=4"]
    cell = cell_of(world, "source", 32, *own, "suite.source.flags.num_res_blocks=3")
    with pytest.raises(ValueError, match="does not fit its flags"):
        run(cell, Store(tmp_path / "results"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One results folder, so that the features of source images are computed once."""
    return tmp_path_factory.mktemp("photographs")


@pytest.mark.skipif(not FEWSHOT.exists(), reason="no photographs beside the repository")
@pytest.mark.parametrize(
    ("name", "folder", "k"),
    [(m, "babies", 10) for m in METHODS if m not in ("real", "from_folder")]
    + [("rs_imle", "sketches", 10), ("rs_imle", "panda", 100), ("copy", "panda", 100)],
)
def test_every_method_takes_photographs(name, folder, k, results):
    cell = make_cell(
        f"method={name}",
        "dataset=folder",
        f"dataset.path={FEWSHOT / folder}",
        f"k={k}",
        "num_images=4",
        "batch_size=4",
        "suite.shard_size=4",
        "device=cpu",
        "controls=[]",
        "figures.tsne_points=10",
        *QUICK.get(name, []),
    )
    record, _ = run(cell, Store(results))
    assert len(record["shots"]) == k and record["metrics"]["fd"]["value"] is None
    assert "dataset.reference" in record["metrics"]["fd"]["reason"]
    assert record["metrics"]["nearest_shot"]["value"] >= 0


@pytest.mark.skipif(not FEWSHOT.exists(), reason="no photographs beside the repository")
def test_nine_photographs_are_too_few_for_ten_shots():
    with pytest.raises(ValueError, match=r"k=10 shots asked for, but .* holds 9 images"):
        make_cell("method=copy", "dataset=folder", f"dataset.path={FEWSHOT / 'vangogh_faces'}")
