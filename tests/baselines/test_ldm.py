"""The latent diffusion backend, on random nets in diffusers' layout."""

import hashlib

import pytest
import torch
from baselines_foreign import ldm_nets, write_ldm
from safetensors.torch import save_file

from baselines.common.diffusion import Schedule, scaled_linear_abar
from baselines.d2c.ldm import LDMBackend
from fsig_bench.download import Asset


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
