"""What the second recipes add: a path at full resolution, a trained start, a loss on edges."""

from dataclasses import dataclass, replace

import pytest
import torch
import toy_recipes
from helpers import ROOT
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from baselines.common.autoencoder import (
    Autoencoder,
    load_autoencoder,
    save_autoencoder,
)
from baselines.common.diffusion import predict_x0
from baselines.common.unet import PixelUNet, load_unet, save_unet
from baselines.pretrain.autoencoder import Augmentation, AutoencoderRecipe, edge_loss
from baselines.pretrain.diffusion import DiffusionRecipe, draw_steps
from fsig_bench.api.weights import record_in_manifest

LOOP = replace(toy_recipes.LOOP, num_images=96, lr=1e-3, checkpoint_s=1e9)
SIZES = replace(toy_recipes.SIZES, patch=2, fine=4)


@dataclass(frozen=True)
class Stripes:
    """Black and white columns, 16 px: nothing but edges."""

    def pool(self, work):
        return (torch.arange(16) // 4 % 2 * 255).expand(8, 3, 16, 16).to(torch.uint8)


def diffusion(unet, start, **changes):
    return DiffusionRecipe(
        images=Stripes(),
        unet=unet,
        unshuffle=2,
        inner="v",
        vlb_weight=1e-3,
        fine=4,
        start=str(start),
        loop=replace(LOOP, **changes),
    )


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_timesteps_follow_the_power_of_a_uniform_draw(power):
    t = draw_steps(10000, power, torch.Generator().manual_seed(0))
    below = [float((t < edge).float().mean()) for edge in (100, 300, 700)]
    assert below == pytest.approx(
        [(edge / 1000) ** (1 / power) for edge in (100, 300, 700)], abs=1e-3
    )
    assert t.min() >= 0 and t.max() <= 999


def test_a_run_begins_from_trained_weights_and_may_be_written_at_any_time(tmp_path, unet_config):
    trained = PixelUNet(unet_config, 2, "v").eval()
    save_unet(tmp_path / "old.safetensors", trained)
    record_in_manifest(tmp_path / "old.safetensors", {"command": "none"})
    recipe = diffusion(unet_config, tmp_path / "old.safetensors", num_images=0)
    recipe.run(tmp_path / "first.safetensors", tmp_path / "work")
    first, x = load_unet(tmp_path / "first.safetensors"), torch.randn(2, 3, 16, 16)
    begun, before = first.eps(x, 500), trained.eps(x, 500)
    scale = float((first.abar[500] / (1 - first.abar[500])).sqrt())  # of the grid that it loses
    clean = predict_x0(x, before, float(first.abar[500]), clamp=False)
    torch.testing.assert_close(begun, before + scale * first.grids(clean), rtol=1e-2, atol=1e-2)
    learnt = diffusion(unet_config, tmp_path / "old.safetensors")
    learnt.run(tmp_path / "last.safetensors", tmp_path / "work")
    assert load_unet(tmp_path / "last.safetensors").full.leave.weight.any()
    # The run is over, so no image more: what the checkpoint holds is written.
    recipe.run(tmp_path / "again.safetensors", tmp_path / "work")
    a, b = (load_file(tmp_path / f"{name}.safetensors") for name in ("last", "again"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_the_second_diffusion_model_costs_no_more_than_the_first():
    counts = []
    for name in ("diffusion", "diffusion_v2"):
        config = OmegaConf.to_container(OmegaConf.load(ROOT / f"conf/pretrain/{name}.yaml"))
        net = PixelUNet(
            config["unet"], config["unshuffle"], config["inner"], fine=config.get("fine", 0)
        )
        with FlopCounterMode(display=False) as counter:
            net.eps(torch.zeros(1, 3, 64, 64), 500)
        counts.append(counter.get_total_flops())
    assert counts[1] <= counts[0] <= 1.57e9


def test_the_autoencoders_path_at_full_resolution(tmp_path):
    net = Autoencoder(SIZES).eval()
    x = torch.rand(2, 3, 16, 16)
    z = net.encode(x)
    assert z.shape == (2, 4, 4, 4)
    assert torch.equal(net.parameters_of(z), net.decoder(z)[:, :10])  # it starts at zero
    torch.nn.init.normal_(net.full.leave.weight)
    save_autoencoder(tmp_path / "a.safetensors", net, {"extra": torch.zeros(1)})
    back, _ = load_autoencoder(tmp_path / "a.safetensors", ("extra",))
    assert back.sizes == SIZES
    torch.testing.assert_close(back.decode(z), net.decode(z), rtol=1e-2, atol=1e-2)
    plain = Autoencoder(replace(SIZES, fine=0))
    save_autoencoder(tmp_path / "b.safetensors", plain, {})
    with safe_open(tmp_path / "b.safetensors", framework="pt") as file:
        assert "fine" not in file.metadata()["architecture"]


def test_the_edge_loss_sees_blur_and_not_brightness():
    x = Stripes().pool(None)[:1].float() / 127.5 - 1
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    assert edge_loss(x, x) == 0 == edge_loss(x + 0.25, x)
    assert edge_loss(blurred, x) > 0.1
    assert edge_loss(blurred.mT, x.mT) == pytest.approx(float(edge_loss(blurred, x)))


def test_the_autoencoder_learns_edges_of_images_as_they_are(tmp_path):
    augmentation = Augmentation(min_scale=0.7, jitter=0.4, grey=0.1, flip=0.5, hue=0.0, blur=0.0)
    recipe = AutoencoderRecipe(
        images=Stripes(),
        sizes=SIZES,
        augmentation=augmentation,
        contrast_dim=8,
        contrast_hidden=16,
        queue=32,
        momentum=0.9,
        temperature=0.07,
        nats_per_unit=700.0,
        scale=0.1,
        loop=replace(LOOP, num_images=1600, lr=5e-3),
        plain=0.5,
        edge_weight=10.0,
    )
    recipe.run(tmp_path / "w.safetensors", tmp_path)
    net, _ = load_autoencoder(tmp_path / "w.safetensors", ("latent.mean", "latent.sd"))
    x = Stripes().pool(None).float() / 127.5 - 1
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    assert edge_loss(net.decode(net.encode(x)), x) < edge_loss(blurred, x)


def test_the_second_autoencoder_is_built_from_its_recipe():
    config = OmegaConf.load(ROOT / "conf/pretrain/autoencoder_v2.yaml")
    recipe = instantiate(config, _convert_="all")
    with torch.device("meta"):
        net = Autoencoder(recipe.sizes)
        z = net.encode(torch.empty(1, 3, 64, 64))
        assert z.shape == (1, 16, 8, 8) and net.decode(z).shape == (1, 3, 64, 64)
