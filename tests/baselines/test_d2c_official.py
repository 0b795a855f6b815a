"""D2C's own checkpoint: random ones in its layout, against forwards written from descriptions."""

import math

import pytest
import torch
import torch.nn.functional as F
from baselines_foreign import MetaTape, Tape
from helpers import composed
from hydra.utils import instantiate
from omegaconf import OmegaConf

from baselines.common.autoencoder import mixture_mean
from baselines.d2c.official import OfficialBackend
from baselines.d2c.official_autoencoder import OfficialAutoencoder, OfficialSizes
from baselines.d2c.official_layout import by_kind, convert_official
from fsig_bench.api import to_float
from fsig_bench.api.assets import Asset

TINY = OfficialSizes(
    resolution=16,
    bits=5,
    widths=(4, 8, 16),
    encoder_cells=(1, 2, 1),
    decoder_cells=(1, 2, 1),
    expand=(3, 6, 6),
    latent_channels=3,
    mixtures=2,
)
UNET = {
    "sample_size": 4,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 2,
    "block_out_channels": [32, 64],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": None,
    "downsample_padding": 0,
    "norm_num_groups": 32,
    "norm_eps": 1e-6,
    "act_fn": "silu",
    "time_embedding_type": "positional",
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "dropout": 0.1,
}


class Cells:
    """NVAE's cells as D2C has them, with tensors asked for by name."""

    def __init__(self, p):
        self.p = p

    def conv(self, name, x, n, k, stride=1, bias=True):
        w = self.p(f"{name}.weight", n, x.shape[1], k, k)
        log = self.p(f"{name}.log_weight_norm", n, 1, 1, 1, sd=0.3)
        w = log.exp() * w / (w.square().sum((1, 2, 3), keepdim=True).sqrt() + 1e-5)
        b = self.p(f"{name}.bias", n) if bias else None
        return F.conv2d(x, w, b, stride, k // 2 if stride == 1 or k > 1 else 0)

    def bn(self, name, x):
        c = x.shape[1]
        mean = self.p(f"{name}.running_mean", c)
        var = self.p(f"{name}.running_var", c, mean=1.0, sd=0.1)
        self.p.state.setdefault(f"{name}.num_batches_tracked", torch.tensor(7))
        w, b = self.p(f"{name}.weight", c, mean=1.0), self.p(f"{name}.bias", c)
        return F.batch_norm(x, mean, var, w, b, eps=1e-5)

    def gate(self, name, x):
        hidden = max(x.shape[1] // 16, 4)
        h, n = x.mean((2, 3)), x.shape[1]
        h = F.linear(h, self.p(f"{name}.0.weight", hidden, n), self.p(f"{name}.0.bias", hidden))
        h = F.linear(h.relu(), self.p(f"{name}.2.weight", n, hidden), self.p(f"{name}.2.bias", n))
        return x * h.sigmoid()[:, :, None, None]

    def encoder_cell(self, name, x, down=False):
        n = x.shape[1] * (2 if down else 1)
        skip = x
        if down:
            a, q = F.silu(x), n // 4
            looks = (a, a[:, :, 1:, 1:], a[:, :, :, 1:], a[:, :, 1:, :])
            parts = [
                self.conv(f"{name}.skip.conv_{i}", v, q, 1, stride=2)
                for i, v in enumerate(looks, 1)
            ]
            skip = torch.cat(parts, 1)
        for i in range(2):
            x = F.silu(self.bn(f"{name}._ops.{i}.bn_act", x))
            x = self.conv(f"{name}._ops.{i}.conv_0", x, n, 3, 2 if down and i == 0 else 1)
        return skip + 0.1 * self.gate(f"{name}.se.se", x)

    def decoder_cell(self, name, x, expand, up=False):
        c = x.shape[1]
        n, wide, head = c // 2 if up else c, c * expand, f"{name}._ops.0.conv"
        skip, i = x, 0
        if up:
            i = 1
            skip = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            skip = self.conv(f"{name}.skip.1", skip, n, 1, bias=False)
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = self.bn(f"{head}.{i}.bn", x)
        x = F.conv2d(x, self.p(f"{head}.{i + 1}.conv.0.weight", wide, c, 1, 1))
        x = F.silu(self.bn(f"{head}.{i + 1}.conv.1", x))
        deep = self.p(f"{head}.{i + 2}.conv.0.weight", wide, 1, 5, 5)
        x = F.silu(self.bn(f"{head}.{i + 2}.conv.1", F.conv2d(x, deep, padding=2, groups=wide)))
        x = F.conv2d(x, self.p(f"{head}.{i + 3}.weight", n, wide, 1, 1))
        return skip + 0.1 * self.gate(f"{name}.se.se", self.bn(f"{head}.{i + 4}.bn", x))


def encode(p, s, x):
    """[0, 1] images -> latents."""
    cells = Cells(p)
    x = torch.floor(x * 255 / 2 ** (8 - s.bits)) / (2**s.bits - 1)
    x = cells.conv("stem", 2 * x - 1, s.widths[0], 3)
    pre = s.encoder_cells[0]
    for n in range(pre):
        x = cells.encoder_cell(f"pre_process.{n}", x)
    x, n = cells.encoder_cell(f"pre_process.{pre}", x, down=True), 0
    for stage, count in enumerate(s.encoder_cells[1:], 1):
        for _ in range(count):
            x, n = cells.encoder_cell(f"enc_tower.{n}", x), n + 1
        if stage < len(s.widths) - 1:
            x, n = cells.encoder_cell(f"enc_tower.{n}", x, down=True), n + 1
    x = F.elu(cells.conv("enc0.1", F.elu(x), x.shape[1], 1))
    return cells.conv("enc_sampler", x, s.latent_channels, 3)


def logits(p, s, z):
    """Latents -> the mixture's parameters."""
    cells, n = Cells(p), 0
    x = cells.conv("dec0", z, s.widths[-1], 3)
    for stage in reversed(range(1, len(s.widths))):
        for _ in range(s.decoder_cells[stage]):
            x, n = cells.decoder_cell(f"dec_tower.{n}", x, 6), n + 1
        if stage > 1:
            x, n = cells.decoder_cell(f"dec_tower.{n}", x, 6, up=True), n + 1
    x = cells.decoder_cell("post_process.0", x, 3, up=True)
    for n in range(s.decoder_cells[0]):
        x = cells.decoder_cell(f"post_process.{n + 1}", x, 3)
    return cells.conv("image_conditional.1", F.elu(x), 10 * s.mixtures, 3)


def mean_image(said, m):
    """The mean of the mixture as PixelCNN++ defines it, colours outermost."""
    weight = said[:, :m].softmax(1)
    rest = said[:, m:].unflatten(1, (3, 3 * m))
    means, coefficients = rest[:, :, :m], rest[:, :, 2 * m :].tanh()
    r = means[:, 0]
    g = means[:, 1] + coefficients[:, 0] * r
    b = means[:, 2] + coefficients[:, 1] * r + coefficients[:, 2] * g
    return torch.stack([(weight * c).sum(1) for c in (r, g, b)], 1).clamp(-1, 1)


def prior(p, x, t, ch, mults, attends, blocks=2):
    """DDIM's network."""
    half = ch // 2
    angle = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / (half - 1))
    emb = torch.cat([angle.sin(), angle.cos()], 1)

    def linear(name, v, n):
        return F.linear(v, p(f"{name}.weight", n, v.shape[1]), p(f"{name}.bias", n))

    def conv(name, v, n, k, **how):
        w = p(f"{name}.weight", n, v.shape[1], k, k)
        return F.conv2d(v, w, p(f"{name}.bias", n), **{"padding": k // 2} | how)

    def norm(name, v):
        w = p(f"{name}.weight", v.shape[1], mean=1.0)
        return F.group_norm(v, 32, w, p(f"{name}.bias", v.shape[1]), eps=1e-6)

    emb = linear("temb.dense.1", F.silu(linear("temb.dense.0", emb, 4 * ch)), 4 * ch)

    def block(name, v, n):
        h = conv(f"{name}.conv1", F.silu(norm(f"{name}.norm1", v)), n, 3)
        h = h + linear(f"{name}.temb_proj", F.silu(emb), n)[:, :, None, None]
        h = conv(f"{name}.conv2", F.silu(norm(f"{name}.norm2", h)), n, 3)
        return h + (v if v.shape[1] == n else conv(f"{name}.nin_shortcut", v, n, 1))

    def attention(name, v):
        c, h = v.shape[1], norm(f"{name}.norm", v)
        q, k, value = (conv(f"{name}.{part}", h, c, 1).flatten(2) for part in "qkv")
        weight = (torch.einsum("bci,bcj->bij", q, k) / math.sqrt(c)).softmax(2)
        out = torch.einsum("bij,bcj->bci", weight, value).view_as(v)
        return v + conv(f"{name}.proj_out", out, c, 1)

    h = conv("conv_in", x, ch, 3)
    kept = [h]
    for level, mult in enumerate(mults):
        for i in range(blocks):
            h = block(f"down.{level}.block.{i}", h, ch * mult)
            if attends[level]:
                h = attention(f"down.{level}.attn.{i}", h)
            kept.append(h)
        if level < len(mults) - 1:
            padded = F.pad(h, (0, 1, 0, 1))
            h = conv(f"down.{level}.downsample.conv", padded, h.shape[1], 3, stride=2, padding=0)
            kept.append(h)
    h = block("mid.block_1", h, h.shape[1])
    h = block("mid.block_2", attention("mid.attn_1", h), h.shape[1])
    for level, mult in reversed(list(enumerate(mults))):
        for i in range(blocks + 1):
            h = block(f"up.{level}.block.{i}", torch.cat([h, kept.pop()], 1), ch * mult)
            if attends[level]:
                h = attention(f"up.{level}.attn.{i}", h)
        if level:
            h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
            h = conv(f"up.{level}.upsample.conv", h, h.shape[1], 3)
    return conv("conv_out", F.silu(norm("norm_out", h)), x.shape[1], 3)


def checkpoint(auto, diffusion, channels):
    """As the authors save it: with the key encoder, the queue and the contrastive head."""
    pair = {f"encoder_q.{k}": v for k, v in auto.items()}
    pair |= {f"encoder_k.{k}": v for k, v in auto.items()}
    pair |= {"encoder_q.fc.0.weight": torch.zeros(2, 2), "queue": torch.zeros(2, 3)}
    scale = {"mean": torch.linspace(-1, 1, channels), "std": torch.linspace(0.5, 2, channels)}
    scale = {k: v.reshape(1, channels, 1, 1) for k, v in scale.items()}
    return {"autoencoder": pair, "diffusion": diffusion, "latent_mod": scale}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "cache"))
    g = torch.Generator().manual_seed(1)
    auto, diffusion = Tape(2), Tape(3)
    x, z = torch.rand(2, 3, 16, 16, generator=g), torch.randn(2, 3, 4, 4, generator=g)
    x = (x * 255).round() / 255  # of 8 bits, as images are
    t = torch.tensor([3, 917])
    with torch.no_grad():
        latents, said = encode(auto, TINY, x), logits(auto, TINY, z)
        eps = prior(diffusion, z, t, 32, (1, 2), (False, True))
    torch.save(checkpoint(auto.state, diffusion.state, 3), tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt", (x, latents), (z, said), (t, eps)


def backend(path):
    known = {"file": path.name, "url": None, "page": "test", "mib": 1, "licence": "-"}
    asset = Asset(**known, sha256=None, path=str(path))
    return OfficialBackend(weights=asset, sizes=TINY, unet=UNET, device="cpu")


def test_an_official_checkpoint_gives_the_same_function(files, tmp_path):
    path, (x, latents), (z, said), (t, eps) = files
    found = backend(path)
    mean = torch.linspace(-1, 1, 3)[:, None, None]
    sd = torch.linspace(0.5, 2, 3)[:, None, None]
    assert float(latents.std()) > 0.05 and float(said.std()) > 0.05 and float(eps.std()) > 0.05
    torch.testing.assert_close(found.encode(2 * x - 1) * sd + mean, latents, rtol=0, atol=1e-5)
    expected = mean_image(said, TINY.mixtures)
    torch.testing.assert_close(found.decode((z - mean) / sd), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found._prior.eps(z, t), eps, rtol=0, atol=1e-5)
    assert found.shape == (3, 4, 4) and len(found.digest) == 64
    assert found.denoise(torch.randn(2, 3, 4, 4), 3).shape == (2, 3, 4, 4)
    # Converted once: the checkpoint is not needed again.
    (made,) = (tmp_path / "cache" / "converted").glob("*.safetensors")
    changed = made.stat().st_mtime_ns
    assert torch.equal(backend(path).encode(x), found.encode(x))
    assert made.stat().st_mtime_ns == changed


def test_images_lose_the_bits_that_the_model_was_trained_without(files):
    found, x = backend(files[0]), torch.full((1, 3, 16, 16), 0.4)
    assert torch.equal(found.encode(x), found.encode(x + 0.01))
    assert not torch.equal(found.encode(x), found.encode(x + 0.1))


def test_every_level_of_8_bits_falls_to_its_own_level():
    net, u = OfficialAutoencoder(TINY), torch.arange(256).expand(1, 3, 1, -1)
    net.encoder = torch.nn.Identity()
    levels = (net.encode(to_float(u.to(torch.uint8))) + 1) / 2 * (2**TINY.bits - 1)
    torch.testing.assert_close(levels, (u // 2 ** (8 - TINY.bits)).float(), rtol=0, atol=1e-4)


def test_a_checkpoint_that_does_not_fit_is_refused(files):
    state = torch.load(files[0], weights_only=True)
    with pytest.raises(ValueError, match=r"no latent_mod, only \['autoencoder', 'diffusion'\]"):
        convert_official({k: v for k, v in state.items() if k != "latent_mod"}, TINY)
    auto = dict(state["autoencoder"])
    del auto["encoder_q.stem.bias"]
    auto["encoder_q.extra"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"1 tensors are missing \(stem.bias\), 1 .*\(extra\)"):
        convert_official(state | {"autoencoder": auto}, TINY)


def test_channels_of_the_mixture_are_brought_into_our_order():
    said = torch.randn(1, 20, 2, 2)
    ours = by_kind(said[0], 2)[None]
    expected = mean_image(said, 2)
    torch.testing.assert_close(mixture_mean(ours).clamp(-1, 1), expected)
    assert not torch.allclose(mixture_mean(said).clamp(-1, 1), expected)


def test_the_full_checkpoint_fits_by_name_and_shape():
    """At the sizes of configs/ffhq_256.yml, on the meta device."""
    node = composed("suite=paper", "dataset=babies", "suite/latent_backend=d2c_ffhq256").suite
    node = OmegaConf.to_container(node.latent_backend)
    sizes, auto, diffusion = instantiate(node["sizes"]), MetaTape(), MetaTape()
    with torch.device("meta"):
        z = encode(auto, sizes, torch.zeros(1, 3, 256, 256))
        encoder = sum(v.numel() for k, v in auto.state.items() if counts(k))
        assert logits(auto, sizes, z).shape == (1, 100, 256, 256) and z.shape == (1, 8, 32, 32)
        mults, attends = (1, 2, 2, 2, 2), (False, True, False, False, False)
        prior(diffusion, z, torch.zeros(1), 128, mults, attends)
        made = convert_official(checkpoint(auto.state, diffusion.state, 8), sizes)
        net = OfficialAutoencoder(sizes)
        from diffusers import UNet2DModel

        unet = UNet2DModel(**node["unet"])
    expected = {f"autoencoder.{k}": v.shape for k, v in net.state_dict().items()}
    expected |= {f"prior.{k}": v.shape for k, v in unet.state_dict().items()}
    found = {k: v.shape for k, v in made.items() if not k.startswith("latent.")}
    assert found == expected
    # The numbers of parameters that the official code has at these sizes.
    decoder = sum(v.numel() for k, v in auto.state.items() if counts(k)) - encoder
    assert encoder / 1e6 == pytest.approx(14.8, abs=0.05)
    assert decoder / 1e6 == pytest.approx(9.9, abs=0.05)
    assert sum(v.numel() for v in diffusion.state.values()) / 1e6 == pytest.approx(45.7, abs=0.05)


def counts(name):
    """Whether a tensor is a parameter."""
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
