"""The latent diffusion backend, on random nets in diffusers' layout."""

import hashlib

import pytest
import torch
from baselines_foreign import ldm_nets, write_ldm
from safetensors.torch import save_file

from baselines.common.diffusion import Schedule, scaled_linear_abar
from baselines.d2c.ldm import LDMBackend
from fsig_bench.api.assets import Asset


def asset(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = {"file": path.name, "url": None, "page": "test", "mib": 1, "licence": "-"}
    return Asset(**known, sha256=digest, path=str(path))


@pytest.fixture(scope="module")
def nets():
    return ldm_nets()


@pytest.fixture(scope="module")
def files(nets, tmp_path_factory):
    return write_ldm(tmp_path_factory.mktemp("ldm"), nets)


def backend(files, **changes):
    values = {
        "autoencoder": asset(files / "vq.safetensors"),
        "autoencoder_config": asset(files / "vq.json"),
        "prior": asset(files / "unet.safetensors"),
        "prior_config": asset(files / "unet.json"),
        "scale": 1.0,
        "first_beta": 0.0015,
        "last_beta": 0.0195,
        "least_rebuilt": 0.5,
        "most_spread": 2.0,
        "device": "cpu",
    }
    return LDMBackend(**(values | changes))


def test_encode_and_decode_are_the_autoencoders_whatever_the_scale(nets, files):
    vq, _ = nets
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = vq(x).sample.clamp(-1, 1)
    for scale in (1.0, 0.18215):
        b = backend(files, scale=scale)
        z = b.encode(x)
        assert z.shape == (2, *b.shape) == (2, 3, 8, 8)
        torch.testing.assert_close(b.decode(z), expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        raw = vq.encode(x).latents
    torch.testing.assert_close(backend(files, scale=0.5).encode(x), 0.5 * raw)


def test_the_schedule_is_linear_in_the_roots_of_beta():
    abar = scaled_linear_abar(3, 0.01, 0.09)
    assert abar.tolist() == pytest.approx([0.99, 0.99 * 0.96, 0.99 * 0.96 * 0.91])
    table = scaled_linear_abar()
    s = Schedule.respaced(5, table)
    assert s.t == [0, 250, 500, 749, 999] and s.abar[-1] == pytest.approx(float(table[-1]))
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear"
    )
    torch.testing.assert_close(table.float(), theirs.alphas_cumprod, rtol=1e-4, atol=1e-6)


def test_denoising_walks_the_schedule_with_the_prior(nets, files):
    _, unet = nets
    b = backend(files)
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    x, s = noise, b.schedule(4)
    with torch.no_grad():
        for i in (3, 2, 1, 0):
            e = unet(x, torch.full((2,), s.t[i])).sample
            a, before = s.abar[i], s.abar[i - 1] if i else 1.0
            x0 = (x - (1 - a) ** 0.5 * e) / a**0.5
            x = before**0.5 * x0 + (1 - before) ** 0.5 * e
    torch.testing.assert_close(b.denoise(noise, 4), x, rtol=1e-4, atol=1e-4)
    assert torch.isfinite(b.denoise_from(noise, noise, 0.5, 4)).all()


def test_files_that_do_not_fit_are_refused(nets, files, tmp_path):
    state = dict(nets[1].state_dict())
    state.pop("conv_in.bias")
    save_file(state, tmp_path / "unet.safetensors")
    with pytest.raises(RuntimeError, match=r"conv_in\.bias"):
        _ = backend(files, prior=asset(tmp_path / "unet.safetensors")).shape
    torch.save(nets[1].state_dict(), tmp_path / "unet.bin")
    assert backend(files, prior=asset(tmp_path / "unet.bin")).shape == (3, 8, 8)


def test_attention_layers_may_have_their_former_names(tmp_path):
    vq, unet = ldm_nets(attends=True)
    files = write_ldm(tmp_path, (vq, unet))
    words = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for name, net in (("vq", vq), ("unet", unet)):
        state = dict(net.state_dict())
        for today, then in words.items():
            state = {k.replace(f".{today}.", f".{then}."): v for k, v in state.items()}
        assert any(".proj_attn." in k for k in state)
        save_file(state, files / f"{name}.safetensors")
    b, noise = backend(files), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(b.eps(noise, 500), unet(noise, 500).sample)
        torch.testing.assert_close(b.encode(noise), vq.encode(noise).latents)


class Pair(LDMBackend):
    """Every other pixel is the latent; a prior whose latents spread as `sd` says."""

    sd, keeps = 1.0, 1.0

    shape = (3, 8, 8)

    def encode(self, images):
        return self.scale * images[:, :, ::2, ::2]

    def decode(self, z):
        return self.keeps * (z / self.scale).repeat_interleave(2, 2).repeat_interleave(2, 3)

    def denoise(self, noise, num_steps):
        return self.sd * noise


def pair(files, *, sd, keeps=1.0, **changes):
    class Made(Pair):
        pass

    Made.sd, Made.keeps = sd, keeps
    return Made(**(vars(backend(files)) | changes))


def test_a_pair_that_does_not_fit_is_refused_before_long_work(files):
    g = torch.Generator().manual_seed(3)
    x = torch.rand(8, 3, 8, 8, generator=g).repeat_interleave(2, 2).repeat_interleave(2, 3) * 2 - 1
    sd = float(x.std())
    pair(files, sd=sd).check(x)
    pair(files, sd=0.6 * sd).check(x)
    with pytest.raises(ValueError, match=r"returns 0\.0\d\d of their variance.*vq\.safetensors"):
        pair(files, sd=sd, keeps=0.03).check(x)
    # diffusers' default in place of 1: the round trip is perfect, the spread is 5.5 times off.
    with pytest.raises(ValueError, match=r"5\.\d+ times as far.*scale=0\.18215"):
        pair(files, sd=sd, scale=0.18215).check(x)
    with pytest.raises(ValueError, match="nan times"):
        pair(files, sd=float("nan")).check(x)


def test_what_decides_a_latent_names_it(files, tmp_path):
    """Proposals are shared by this digest."""
    names = {backend(files).digest, backend(files, scale=0.5, device="cuda").digest}
    assert len(names) == 1
    names |= {backend(files, first_beta=0.001).digest, backend(files, last_beta=0.02).digest}
    other = tmp_path / "unet.json"
    other.write_text(
        (files / "unet.json").read_text().replace('"freq_shift": 0', '"freq_shift": 1')
    )
    names.add(backend(files, prior_config=asset(other)).digest)
    assert len(names) == 4
