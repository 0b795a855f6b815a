"""Every recipe at toy size: it learns, it continues after a kill to the same weights, and what it
writes is what the methods load."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
from helpers import ROOT, composed
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file
from toy_recipes import LOOP, SIZES

from baselines.common.autoencoder import Autoencoder, load_autoencoder
from baselines.common.critic import load_critic
from baselines.common.stylegan2 import StyleArchitecture, load_generator, read_gan
from baselines.common.unet import PixelUNet, load_unet
from baselines.d2c import LatentBackend, Weights
from baselines.pretrain.__main__ import main as pretrain
from baselines.pretrain.autoencoder import Augmentation, AutoencoderRecipe
from baselines.pretrain.diffusion import DiffusionRecipe
from baselines.pretrain.gan import GanRecipe
from baselines.pretrain.prior import PriorRecipe, prior_loss
from fsig_bench.api.images import to_float
from fsig_bench.api.weights import record_in_manifest


@dataclass(frozen=True)
class Blobs:
    """Flat pictures of a random colour, 16 px."""

    def pool(self, work):
        colour = torch.randint(256, (64, 3, 1, 1), generator=torch.Generator().manual_seed(0))
        return colour.expand(-1, -1, 16, 16).to(torch.uint8)


ARCH = StyleArchitecture(resolution=16, style_dim=8, mapping_layers=2, channels={4: 8, 8: 8, 16: 8})


def diffusion(unet, loop=LOOP):
    unet = unet | {"sample_size": 8}
    return DiffusionRecipe(
        images=Blobs(), unet=unet, unshuffle=2, inner="v", vlb_weight=1e-3, loop=loop
    )


def autoencoder(loop=LOOP):
    return AutoencoderRecipe(
        images=Blobs(),
        sizes=SIZES,
        augmentation=Augmentation(min_scale=0.5, jitter=0.5, grey=0.2, flip=0.5, hue=0.0, blur=0.0),
        contrast_dim=8,
        contrast_hidden=16,
        queue=32,
        momentum=0.9,
        temperature=0.07,
        nats_per_unit=700.0,
        scale=0.1,
        loop=loop,
    )


def gan(num_images=96):
    return GanRecipe(
        images=Blobs(),
        architecture=ARCH,
        seed=0,
        num_images=num_images,
        batch_size=8,
        lr=2.5e-3,
        decay_from=0.75,
        r1_gamma=0.1,
        r1_every=4,
        mixing=0.9,
        ema_images=32,
        bf16=False,
        compile=False,
        device="cpu",
        checkpoint_s=0.0,
    )


def twice(make, tmp_path):
    """A recipe run whole, and killed after a third and continued; both weight files."""

    class Killed(Exception):
        pass

    whole, halves = tmp_path / "whole.safetensors", tmp_path / "halves.safetensors"
    make().run(whole, tmp_path / "a")
    from baselines.pretrain.loop import Checkpoint

    store, left = Checkpoint.store, [3]

    def limited(self, done, wall_s):
        store(self, done, wall_s)
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoint, "store", limited)
        make().run(halves, tmp_path / "b")
    make().run(halves, tmp_path / "b")
    return whole, halves


def same(a, b):
    one, two = load_file(a), load_file(b)
    assert set(one) == set(two)
    return all(torch.equal(one[k], two[k]) for k in one)


def test_diffusion(tmp_path, unet_config):
    whole, halves = twice(lambda: diffusion(unet_config), tmp_path)
    assert same(whole, halves)
    assert load_unet(whole).inner == "v"


def test_gan(tmp_path):
    whole, halves = twice(gan, tmp_path)
    assert same(whole, halves)
    net, critic = load_generator(whole), load_critic(*read_gan(whole, "critic"))
    images = net.synthesis(
        net.repeat(net.mapping(torch.randn(4, 8))), net.noise(4, torch.Generator())
    )
    assert images.shape == (4, 3, 16, 16) and critic(images).shape == (4,)


def test_a_run_that_continues_between_two_penalties_logs_without_one(tmp_path):
    """R1 comes every fourth step and the log every fiftieth: from 49, the log comes first."""
    begun = replace(gan(num_images=8 * 49), checkpoint_s=1e9)
    begun.run(tmp_path / "part.safetensors", tmp_path / "work")
    replace(begun, num_images=8 * 51).run(tmp_path / "all.safetensors", tmp_path / "work")
    lines = [
        json.loads(line) for line in (tmp_path / "work" / "curve.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [0, 50] and lines[1]["r1"] == 0


def test_a_generator_and_its_critic_begin_from_trained_weights(tmp_path):
    gan().run(tmp_path / "old.safetensors", tmp_path / "first")
    record_in_manifest(tmp_path / "old.safetensors", {"command": "test"})
    begun = replace(gan(num_images=0), start=str(tmp_path / "old.safetensors"))
    begun.run(tmp_path / "new.safetensors", tmp_path / "second")
    assert same(tmp_path / "old.safetensors", tmp_path / "new.safetensors")


def test_autoencoder_and_prior_and_backend(tmp_path, unet_config):
    whole, halves = twice(autoencoder, tmp_path)
    assert same(whole, halves)
    record_in_manifest(whole, {"command": "test"})
    unet = unet_config | {"sample_size": 8, "in_channels": 4, "out_channels": 4}

    def prior():
        return PriorRecipe(images=Blobs(), autoencoder=str(whole), unet=unet, inner="v", loop=LOOP)

    (tmp_path / "p").mkdir()
    first, second = twice(prior, tmp_path / "p")
    assert same(first, second)
    record_in_manifest(first, {"command": "test"})
    backend = LatentBackend(
        autoencoder=Weights(weights=str(whole)),
        prior=Weights(weights=str(first)),
        solver="ddim",
        device="cpu",
    )
    net, extra = load_autoencoder(whole, ("latent.mean", "latent.sd"))
    x = to_float(Blobs().pool(None))
    z = backend.encode(x)
    assert backend.shape == (4, 8, 8) == tuple(z.shape[1:])
    raw = z * extra["latent.sd"][:, None, None] + extra["latent.mean"][:, None, None]
    torch.testing.assert_close(raw, net.encode(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(backend.decode(z), net.decode(net.encode(x)), atol=1e-3, rtol=0)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)
    noise = torch.randn(2, 4, 8, 8)
    assert torch.equal(backend.denoise(noise, 4), backend.denoise(noise, 4))
    other = replace(backend, solver="dpmpp_2m")
    assert not torch.equal(backend.denoise(noise, 4), other.denoise(noise, 4))
    assert backend.digest != other.digest  # stored latents of one are not served to the other
    # At two evaluations both solvers take DDIM's steps over the same timesteps.
    torch.testing.assert_close(backend.denoise(noise, 2), other.denoise(noise, 2))


def test_the_loss_falls(tmp_path):
    """The autoencoder rebuilds flat colours after a few hundred images."""
    error = []
    for count in (16, 1600):
        work = tmp_path / str(count)
        autoencoder(replace(LOOP, num_images=count, lr=5e-3)).run(work / "w.safetensors", work)
        net, _ = load_autoencoder(work / "w.safetensors", ("latent.mean", "latent.sd"))
        x = to_float(Blobs().pool(None))
        error.append(float((net.decode(net.encode(x)) - x).square().mean()))
    assert error[1] < 0.3 * error[0]


def test_a_finished_run_exports_again_without_training(tmp_path, unet_config):
    out = tmp_path / "w.safetensors"
    diffusion(unet_config).run(out, tmp_path)
    before = out.read_bytes()
    out.unlink()
    cost = diffusion(unet_config, replace(LOOP, num_images=64)).run(out, tmp_path)
    assert out.read_bytes() == before and cost["images_seen"] == 128


def test_learning_rate_at_named_points():
    loop = replace(LOOP, num_images=1000, batch_size=10, warmup_images=100, lr=1.0)
    assert loop.rate(0) == pytest.approx(0.1) and loop.rate(90) == 1.0
    assert loop.rate(500) == 1.0 and loop.rate(750) == pytest.approx(0.5) and loop.rate(1000) == 0


def test_the_paper_scale_sizes_are_those_of_the_code():
    config = OmegaConf.load(ROOT / "conf/pretrain/d2c_ffhq256_autoencoder.yaml")
    sizes = instantiate(config.sizes, _convert_="all")
    with torch.device("meta"):
        net = Autoencoder(sizes)
        z = net.encode(torch.empty(1, 3, 256, 256))
        assert z.shape == (1, 8, 32, 32) and net.parameters_of(z).shape == (1, 100, 256, 256)
        prior = OmegaConf.load(ROOT / "conf/pretrain/d2c_ffhq256_prior.yaml")
        assert prior.inner == "eps"
        unet = PixelUNet(OmegaConf.to_container(prior.unet), 1, prior.inner)
        assert unet(z, torch.zeros(1, dtype=torch.long)).shape == (1, 8, 32, 32)
    assert config.queue % config.loop.batch_size == 0

    def millions(part):
        return sum(p.numel() for p in part.parameters()) / 1e6

    # Counted from the official configuration, whose convolutions carry a scale a channel more.
    assert millions(net.encoder) == pytest.approx(14.8, abs=0.1)
    assert millions(net.decoder) == pytest.approx(9.9, abs=0.1)
    assert millions(unet) == pytest.approx(45.7, abs=0.05)
    sides = [b.attentions[0].heads for b in unet.net.down_blocks if hasattr(b, "attentions")]
    assert sides == [1] and unet.net.mid_block.attentions[0].heads == 1


def test_a_prior_that_continues_encodes_no_image_again(tmp_path, unet_config, monkeypatch):
    whole = tmp_path / "ae.safetensors"
    autoencoder().run(whole, tmp_path / "ae")
    record_in_manifest(whole, {"command": "test"})
    unet = unet_config | {"sample_size": 8, "in_channels": 4, "out_channels": 4}

    def run(work, weights):
        return PriorRecipe(
            images=Blobs(), autoencoder=str(weights), unet=unet, inner="v", loop=LOOP
        ).run(tmp_path / "out.safetensors", work)

    run(tmp_path / "prior", whole)
    (kept,) = (tmp_path / "prior").glob("latents-*")
    first = load_file(kept)["latents"]
    assert len(first) == 2 * len(Blobs().pool(None))

    encoded = []
    encode = Autoencoder.encode
    monkeypatch.setattr(Autoencoder, "encode", lambda *a: encoded.append(a) or encode(*a))
    run(tmp_path / "prior", whole)
    assert not encoded

    other = tmp_path / "other.safetensors"
    autoencoder(replace(LOOP, seed=LOOP.seed + 1)).run(other, tmp_path / "other_ae")
    record_in_manifest(other, {"command": "test"})
    run(tmp_path / "prior", other)
    assert encoded and len(list((tmp_path / "prior").glob("latents-*"))) == 2


def test_the_priors_loss_is_the_simple_one_of_what_the_network_speaks():
    noise = torch.tensor([[1.0, 2.0], [0.0, 0.0]])[:, :, None, None]
    eps = torch.tensor([[1.0, 0.0], [1.0, 1.0]])[:, :, None, None]
    abar = torch.tensor([0.5, 0.01])[:, None, None, None]
    # eps: squared errors 4 and 2 a latent, whatever the noise level. v: of 0.5 and 0.01 of them.
    assert float(prior_loss(eps, noise, abar, "eps")) == 3
    assert float(prior_loss(eps, noise, abar, "v")) == pytest.approx((4 / 0.5 + 2 / 0.01) / 4)
    g = torch.Generator().manual_seed(0)
    z, e, v = (torch.randn(2, 3, 2, 2, generator=g) for _ in range(3))
    a, b = abar.sqrt(), (1 - abar).sqrt()
    said = b * (a * z + b * e) + a * v  # epsilon of a network that says v
    want = (v - (a * e - b * z)).square().mean()
    torch.testing.assert_close(prior_loss(said, e, abar, "v"), want, rtol=1e-3, atol=1e-4)


def test_a_backend_of_ones_own_is_made_from_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "faces"
    images.mkdir()
    for n, pixels in enumerate(Blobs().pool(None)[:12]):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(images / f"{n}.png")
    quick = [f"images.files={images}", "images.resolution=16", "loop.device=cpu"]
    quick += ["loop.num_images=8", "loop.batch_size=4", "loop.compile=false", "loop.bf16=false"]
    with pytest.raises(SystemExit, match="out="):
        pretrain(["d2c_ffhq256_autoencoder", *quick])
    with pytest.raises(SystemExit, match=r"autoencoder=\.\.\., images\.files=\.\.\."):
        pretrain(["d2c_ffhq256_prior"])
    sizes = ["sizes.resolution=16", "sizes.widths=[16,16]", "sizes.encoder_cells=[1,1]"]
    sizes += ["sizes.decoder_cells=[1,1]", "queue=8", "contrast_dim=8"]
    sizes += ["contrast_hidden=8"]
    ae, prior = tmp_path / "ae.safetensors", tmp_path / "prior.safetensors"
    pretrain(["d2c_ffhq256_autoencoder", *quick, *sizes, f"out={ae}"])
    unet = ["unet.sample_size=8", "unet.block_out_channels=[32,32]", "unet.norm_num_groups=8"]
    unet += ["unet.down_block_types=[DownBlock2D,DownBlock2D]", "unet.attention_head_dim=8"]
    unet += ["unet.up_block_types=[UpBlock2D,UpBlock2D]", f"autoencoder={ae}"]
    pretrain(["d2c_ffhq256_prior", *quick, *unet, f"out={prior}"])
    cfg = composed("suite=paper", "method=d2c", "dataset=folder", "dataset.path=x", "device=cpu",
                   "suite/latent_backend=own",
                   f"suite.latent_backend.autoencoder.weights={ae}",
                   f"suite.latent_backend.prior.weights={prior}")  # fmt: skip
    backend = instantiate(cfg.suite.latent_backend, _convert_="all")
    z = backend.encode(torch.zeros(2, 3, 16, 16))
    assert z.shape == (2, *backend.shape) == (2, 8, 8, 8)
    assert backend.decode(backend.denoise(z, 3)).shape == (2, 3, 16, 16)
