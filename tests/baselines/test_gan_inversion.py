"""Style generator, projection and samplers, on a small random generator with known answers."""

import dataclasses
import math
from typing import get_args, get_type_hints

import pytest
import torch
from torch._subclasses import FakeTensorMode

from baselines.common.adversarial import mixed_styles, r1_penalty
from baselines.common.critic import Critic
from baselines.common.stylegan2 import (
    EqualLinear,
    StyleArchitecture,
    StyleGenerator,
    act,
    act_inverse,
    fir,
    load_generator,
    parameters,
    save_gan,
)
from baselines.common.wspace import WSpace, w_space
from baselines.gan_inversion import GANInversion, Projector, Sampling, Tuning
from baselines.gan_inversion.projector import noise_regulariser, renormalise, seen
from baselines.gan_inversion.samplers import draw_styles, onto_span, rssa_mask, shrunk_gaussian
from fsig_bench.api.seeding import ImageGenerators
from fsig_bench.api.types import NoProgress
from fsig_bench.networks.random_trunk import RandomTrunk

TINY = StyleArchitecture(
    resolution=16, style_dim=16, mapping_layers=2, channels={4: 16, 8: 16, 16: 8}
)


def ffhq(multiplier):
    high = {64: 256 * multiplier, 128: 128 * multiplier, 256: 64 * multiplier}
    return StyleArchitecture(
        resolution=256,
        style_dim=512,
        mapping_layers=8,
        channels=dict.fromkeys((4, 8, 16, 32), 512) | high,
    )


@pytest.mark.parametrize(("multiplier", "g", "d"), [(1, 24.77, 24.00), (2, 30.03, 28.86)])
def test_published_sizes(multiplier, g, d):
    with torch.device("meta"):
        assert round(parameters(StyleGenerator(ffhq(multiplier))) / 1e6, 2) == g
        assert round(parameters(Critic(ffhq(multiplier))) / 1e6, 2) == d


def test_mini_sizes():
    mini = StyleArchitecture(
        resolution=64,
        style_dim=128,
        mapping_layers=4,
        channels={4: 128, 8: 128, 16: 96, 32: 48, 64: 16},
    )
    assert mini.num_styles == 10 and len(mini.noise_sides) == 9
    assert ffhq(2).num_styles == 14 and len(ffhq(2).noise_sides) == 13
    with torch.device("meta"):
        assert round(parameters(StyleGenerator(mini)) / 1e6, 2) == 0.94
        assert round(parameters(Critic(mini)) / 1e6, 2) == 1.01


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = StyleGenerator(TINY)
    with torch.no_grad():
        for block in [net.first, *net.up, *net.flat]:
            block.noise_gain.fill_(0.1)
        for rgb in net.rgb:
            rgb.conv.weight.mul_(0.2)  # inside [-1, 1], so that clamping hides nothing
    return net.eval().requires_grad_(False)


def styles(net, n, seed=0):
    g = torch.Generator().manual_seed(seed)
    return net.repeat(net.mapping(torch.randn(n, 16, generator=g)))


def noise(net, seed=9, n=1):
    return net.noise(n, torch.Generator().manual_seed(seed))


def test_activation_keeps_variance_and_inverts():
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    assert float(act(x).square().mean()) == pytest.approx(1.04, abs=0.02)
    torch.testing.assert_close(act_inverse(act(x)), x)


def test_equalised_rate_keeps_the_scale_of_outputs():
    torch.manual_seed(0)
    y = EqualLinear(512, 256)(torch.randn(64, 512)).detach()
    assert float(y.std()) == pytest.approx(1, abs=0.05)
    slow = EqualLinear(512, 256, lr_mul=0.01)
    assert float(slow.weight.detach().std()) == pytest.approx(100, rel=0.02)
    assert float(slow(torch.randn(64, 512)).detach().std()) == pytest.approx(1, abs=0.05)


def test_filter_by_hand():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 64
    tap = torch.tensor([1.0, 3.0, 3.0, 1.0])
    torch.testing.assert_close(fir(x, (2, 1))[0, 0, 1:5, 1:5], tap[:, None] * tap)
    assert fir(torch.ones(1, 2, 8, 8), (0, 0)).allclose(torch.ones(1, 2, 5, 5))


def test_modulated_convolution_is_the_per_image_convolution(net):
    """Scaling activations equals convolving with each image's own modulated weights."""
    conv = net.flat[0].conv
    x, w = torch.randn(3, 16, 8, 8), torch.randn(3, 16)
    for j in range(3):
        own = conv.weight * conv.scale * conv.style(w)[j][None, :, None, None]
        own = own * (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        want = torch.nn.functional.conv2d(x[j : j + 1], own, padding=1)
        torch.testing.assert_close(conv(x, w)[j : j + 1], want, rtol=1e-4, atol=1e-5)


def test_enlarging_convolution_is_enlarge_filter_convolve(net):
    """Away from the border: zeros between, the [1,3,3,1] filter, the flipped kernel."""
    conv = net.up[0].conv
    x, w = torch.randn(1, 16, 4, 4), torch.randn(1, 16)
    spread = torch.zeros(1, 16, 8, 8)
    spread[:, :, ::2, ::2] = x * conv.style(w)[:, :, None, None]
    kernel = (conv.weight * conv.scale).flip(2, 3)
    whole = torch.nn.functional.conv2d(torch.nn.functional.pad(spread, (2, 2, 2, 2)), kernel)
    want = fir(whole, (1, 1), gain=4.0)[:, :, 2:6, 2:6]
    power = conv.style(w).square() @ (conv.weight * conv.scale).square().sum((2, 3)).T
    want = want * (power + 1e-8).rsqrt()[:, :, None, None]
    got = conv(x, w)
    assert got.shape == (1, 16, 8, 8)
    torch.testing.assert_close(got[:, :, 2:6, 2:6], want, rtol=1e-3, atol=1e-4)


def test_each_style_moves_its_resolution(net):
    """The first style changes the picture's coarse part, the last to-RGB style its colours."""
    w = styles(net, 1).clone()
    base = net.synthesis(w, noise(net))
    for layer in range(TINY.num_styles):
        moved = w.clone()
        moved[:, layer] += 1
        assert not torch.allclose(net.synthesis(moved, noise(net)), base, atol=1e-4)


def test_weights_survive_the_file(net, tmp_path):
    save_gan(tmp_path / "g.safetensors", net, Critic(TINY))
    again = load_generator(tmp_path / "g.safetensors")
    assert again.arch.channels == TINY.channels
    gap = net.synthesis(styles(net, 2), noise(net)) - again.synthesis(styles(net, 2), noise(net))
    assert float(gap.abs().max()) < 0.02  # float16


def test_gradient_penalty_of_a_linear_critic():
    slope = torch.randn(3, 8, 8)
    critic = lambda x: (x * slope).sum((1, 2, 3))  # noqa: E731
    want = float(slope.square().sum())
    assert float(r1_penalty(critic, torch.randn(5, 3, 8, 8))) == pytest.approx(want, rel=1e-5)


def test_style_mixing_uses_two_codes_with_its_probability(net):
    g = torch.Generator().manual_seed(0)
    never, always = mixed_styles(net, 50, 0.0, g), mixed_styles(net, 50, 1.0, g)
    assert torch.equal(never[:, 0], never[:, -1])
    assert not (always[:, 0] == always[:, -1]).all(1).any()


# the projector


PROJECTOR = Projector(
    space="w_plus",
    steps=120,
    lr=0.1,
    ramp="stylegan2",
    halve_every=1000,
    latent_noise=0.05,
    maps="fixed",
    noise_weight=1e5,
    lpips_weight=1.0,
    mse_weight=1.0,
    prior_weight=0.0,
)
SAMPLE = Sampling(
    kind="gaussian",
    jitter=0.3,
    alpha=0.5,
    mix_from=0.5,
    rssa_scale=1.0,
    shrink=0.5,
    offset=1.0,
    fresh_noise=False,
)


class TinyGenerator:
    device = "cpu"

    def __init__(self, net):
        self.net = net


def method(net, sample=None, tuning=0, rate=3e-4, **changes):
    return GANInversion(
        generator=TinyGenerator(net),
        perceptual=RandomTrunk(seed=0, width=8),
        projector=dataclasses.replace(PROJECTOR, **changes),
        tuning=Tuning(steps=tuning, lr=rate, lpips_weight=1.0, mse_weight=1.0),
        space_count=4000,
        space_seed=123,
        sample=dataclasses.replace(SAMPLE, **(sample or {})),
    )


def targets(net, m, n=3):
    return net.synthesis(styles(net, n, 5), m.fixed_noise()).clamp(-1, 1)


def test_learning_rate_of_the_projector():
    rate = dataclasses.replace(PROJECTOR, steps=1000).rate
    assert rate(0) == 0 and rate(25) == pytest.approx(0.05) and rate(50) == pytest.approx(0.1)
    assert rate(749) == pytest.approx(0.1)
    assert rate(875) == pytest.approx(0.05) and rate(999) < 1e-5
    halving = dataclasses.replace(PROJECTOR, ramp="halving").rate
    assert [halving(s) for s in (0, 999, 1000, 3999)] == pytest.approx([0.1, 0.1, 0.05, 0.0125])


def test_latent_noise_fades():
    p = dataclasses.replace(PROJECTOR, steps=1000)
    assert p.jitter(0, 2.0) == pytest.approx(0.1)
    assert p.jitter(375, 2.0) == pytest.approx(0.025)
    assert p.jitter(750, 2.0) == 0 and p.jitter(900, 2.0) == 0


def test_noise_regulariser_sees_correlation_only():
    g = torch.Generator().manual_seed(0)
    white = torch.randn(1, 1, 64, 64, generator=g)
    stripes = torch.ones(1, 1, 64, 64)
    assert float(noise_regulariser([white])) < 0.05 < float(noise_regulariser([stripes]))
    # Four levels, 64 to 8 px, two axes, mean product 1 each.
    assert float(noise_regulariser([stripes])) == pytest.approx(8)
    assert float(noise_regulariser([torch.ones(1, 1, 4, 4)])) == pytest.approx(2)
    renormalise([white.add_(3).mul_(5)])
    assert abs(float(white.mean())) < 1e-5
    assert float(white.square().mean()) == pytest.approx(1, abs=1e-4)


def test_the_generators_own_samples_are_recovered(net):
    m = method(net, space="w", latent_noise=0.0, steps=600)
    state = m.adapt(targets(net, m), seed=0, progress=NoProgress())
    truth, mean = styles(net, 3, 5), m.space().mean
    gap = (state.tensors["codes"] - truth).norm(dim=2).mean()
    start = (mean - truth).norm(dim=2).mean()
    rebuilt = m.reconstruct(state)
    assert float(gap) < 0.15 * float(start)
    assert float((rebuilt - targets(net, m)).square().mean()) < 1e-3


def test_w_plus_rebuilds_better_than_w_and_lies_further_off(net):
    foreign = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(2)) * 2 - 1
    foreign = torch.nn.functional.interpolate(foreign, size=16, mode="bilinear")
    error, off = {}, {}
    for space in ("w", "w_plus"):
        m = method(net, space=space)
        state = m.adapt(foreign, seed=0, progress=NoProgress())
        error[space] = float((m.reconstruct(state) - foreign).square().mean())
        off[space] = state.meta["strangeness"]
        rows = {"w": 16, "w_plus": 16 * TINY.num_styles}
        assert state.trained_params == 2 * rows[space]
    assert error["w_plus"] < error["w"]
    assert off["w_plus"] > 1.5


def test_images_do_not_disturb_each_other(net):
    m = method(net, latent_noise=0.0, steps=20)
    x = targets(net, m)
    both = m.adapt(x, seed=0, progress=NoProgress()).tensors["codes"]
    alone = m.adapt(x[:1], seed=0, progress=NoProgress()).tensors["codes"]
    torch.testing.assert_close(both[:1], alone, rtol=1e-3, atol=1e-3)


def test_optimised_maps_stay_normalised_and_are_each_shots_own(net):
    m = method(net, maps="optimised", noise_weight=0.1, steps=20, sample={"kind": "replay"})
    x = targets(net, m)
    state = m.adapt(x, seed=0, progress=NoProgress())
    assert state.nfe_adapt == 60
    maps = [v for k, v in sorted(state.tensors.items()) if k.startswith("maps/")]
    assert [tuple(v.shape) for v in maps] == [(3, 1, s, s) for s in TINY.noise_sides]
    plain = method(net, maps="fixed", steps=1).adapt(x, seed=0, progress=NoProgress())
    fitted = state.trained_params - plain.trained_params
    assert fitted == sum(v.numel() for v in maps)
    for v in maps:
        torch.testing.assert_close(v.mean((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(v.square().mean((1, 2, 3)), torch.ones(3))
    assert max(float((v[0] - v[1]).abs().max()) for v in maps) > 0.01
    # Reconstructions take a shot's own maps, samples the fixed ones.
    codes = state.tensors["codes"]
    assert torch.equal(m.reconstruct(state), net.synthesis(codes, maps).clamp(-1, 1))
    fixed = net.synthesis(codes, m.fixed_noise()).clamp(-1, 1)
    assert torch.equal(m.sampler(state, draw=0)(range(3)), fixed)
    assert not torch.allclose(fixed, m.reconstruct(state), atol=1e-3)
    plain = method(net, steps=2).adapt(x, seed=0, progress=NoProgress())
    assert list(plain.tensors) == ["codes"]


def test_the_loss_sees_large_images_averaged_to_256_px(net, monkeypatch):
    x = torch.arange(512.0 * 512).view(1, 1, 512, 512)
    blocks = torch.nn.functional.avg_pool2d(x, 2)
    torch.testing.assert_close(seen(x), blocks)
    assert seen(blocks) is blocks
    monkeypatch.setattr("baselines.gan_inversion.projector.LARGEST", 8)
    m, sides = method(net, steps=2), []
    trunk = m.perceptual.trunk
    object.__setattr__(m.perceptual, "trunk", lambda v: sides.append(v.shape[-1]) or trunk(v))
    state = m.adapt(targets(net, method(net)), seed=0, progress=NoProgress())
    assert sides == [8, 8, 8] and m.reconstruct(state).shape[-1] == 16


def test_tuning_sharpens_the_pivots_and_leaves_the_source(net):
    before = {k: v.clone() for k, v in net.state_dict().items()}
    foreign = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    error = []
    for steps in (0, 60):
        m = method(net, tuning=steps, rate=3e-3, steps=30)
        state = m.adapt(foreign, seed=0, progress=NoProgress())
        error.append(float((m.reconstruct(state) - foreign).square().mean()))
    assert error[1] < 0.9 * error[0]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_tuning_continues_after_a_kill(net):
    class Kept(NoProgress):
        done, tensors = 0, {}

        def save(self, done, tensors):
            self.done, self.tensors = done, {k: v.clone() for k, v in tensors.items()}
            if done == 33:
                raise KeyboardInterrupt

        def load(self):
            return self.done, {k: v.clone() for k, v in self.tensors.items()}

    m, kept = method(net, tuning=6, steps=30), Kept()
    x = targets(net, m)
    with pytest.raises(KeyboardInterrupt):
        m.adapt(x, seed=0, progress=kept)
    again = m.adapt(x, seed=0, progress=kept)
    whole = m.adapt(x, seed=0, progress=NoProgress())
    assert all(torch.equal(again.tensors[k], whole.tensors[k]) for k in whole.tensors)


# the samplers


@pytest.fixture(scope="module")
def space(net):
    return w_space(net, 20_000, 0)


def drawn(net, space, kind, n=40, k=4, **changes):
    codes = styles(net, k, 7).clone()
    codes += 0.3 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(3))
    s = dataclasses.replace(SAMPLE, kind=kind, **changes)
    return draw_styles(s, net, space, codes, 0, range(n)), codes


def test_whitening_makes_the_prior_standard_and_inverts(net, space):
    w = net.mapping(torch.randn(5000, 16, generator=torch.Generator().manual_seed(4)))
    v = space.whiten(w)
    assert float(v.mean(0).abs().max()) < 0.1
    torch.testing.assert_close(v.T @ v / 5000, torch.eye(16), atol=0.12, rtol=0)
    torch.testing.assert_close(space.colour(v), w, rtol=1e-3, atol=1e-3)
    assert float(space.strangeness(w).mean()) == pytest.approx(1, abs=0.05)
    spread = float((w - space.mean).square().sum(1).mean().sqrt())
    assert space.std == pytest.approx(spread, rel=0.03)


def test_limits_of_the_samplers(net, space):
    replay, codes = drawn(net, space, "replay")
    assert torch.equal(replay[:4], codes) and torch.equal(replay[4:8], codes)
    assert torch.equal(drawn(net, space, "jitter", jitter=0.0)[0], replay)
    prior, _ = drawn(net, space, "prior")
    assert torch.equal(prior[:, 0], prior[:, -1])
    sharp, _ = drawn(net, space, "simplex", alpha=1e-4)
    nearest = torch.cdist(sharp.flatten(1), codes.flatten(1)).min(1).values
    assert float(nearest.median()) < 1e-3
    mixed, _ = drawn(net, space, "layer_mix", mix_from=0.5)
    assert torch.equal(mixed[:, 3:], replay[:, 3:]) and not torch.equal(mixed[:, :3], replay[:, :3])
    half, _ = drawn(net, space, "rssa", rssa_scale=0.0)
    assert torch.equal(half[:, 0], half[:, -1])
    moved, _ = drawn(net, space, "offset", offset=0.0)
    assert torch.equal(moved[:, 0], moved[:, -1])


def test_samples_spread_between_replay_and_prior(net, space):
    spread = {
        kind: float(drawn(net, space, kind, n=200)[0].flatten(1).var(0).sum())
        for kind in ("simplex", "jitter", "gaussian")
    }
    wide, _ = drawn(net, space, "jitter", n=200, jitter=1.0)
    replay = float(drawn(net, space, "replay", n=200)[0].flatten(1).var(0).sum())
    assert spread["simplex"] < replay < spread["jitter"] < float(wide.flatten(1).var(0).sum())


def test_gaussian_has_the_stated_mean_and_covariance(net, space):
    codes = styles(net, 5, 7)
    g = torch.Generator().manual_seed(0)
    own, prior = torch.randn(40_000, 5, generator=g), torch.randn(40_000, 16, generator=g)
    w = shrunk_gaussian(codes, space, 0.3, own, prior)
    v = space.whiten(w)[:, 0]
    known = space.whiten(codes)[:, 0]
    want = 0.7 * torch.cov(known.T) + 0.3 * torch.eye(16)
    torch.testing.assert_close(v.mean(0), known.mean(0), atol=0.05, rtol=0)
    assert float((torch.cov(v.T) - want).norm() / want.norm()) < 0.05


def prior_of(net, kind, n):
    return net.repeat(net.mapping(ImageGenerators(0, range(n), "gan_inversion", kind).randn(16)))


def test_offset_and_rssa_by_hand(net, space):
    moved, codes = drawn(net, space, "offset", offset=0.5)
    want = prior_of(net, "offset", 40) + 0.5 * (codes.mean(0) - space.mean)
    torch.testing.assert_close(moved, want)
    assert torch.equal(drawn(net, space, "rssa", rssa_scale=0.0)[0], prior_of(net, "rssa", 40))
    out, codes = drawn(net, space, "rssa")
    w, mask = prior_of(net, "rssa", 40), rssa_mask(TINY.num_styles)
    for layer in range(TINY.num_styles):
        basis = torch.linalg.qr(codes[:, layer].T).Q  # [d, k]
        q = w[:, layer] @ basis @ basis.T
        q = q * w[:, layer].norm(dim=1, keepdim=True) / q.norm(dim=1, keepdim=True)
        mixed = mask[layer] * q + (1 - mask[layer]) * w[:, layer]
        torch.testing.assert_close(out[:, layer], mixed, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", get_args(get_type_hints(Sampling)["kind"]))
def test_samplers_stay_on_the_codes_device(kind, net):
    """On tensors without content: an operation across devices fails as on a GPU."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            far = StyleGenerator(TINY)
            flat, square = torch.zeros(16), torch.eye(16)
            codes = torch.zeros(3, TINY.num_styles, 16)
        space = WSpace(flat, 1.0, flat, flat, square, flat + 1)
        s = dataclasses.replace(SAMPLE, kind=kind)
        styles = draw_styles(s, far, space, codes, 0, range(5))
        assert styles.device.type == "cuda" and styles.shape == (5, TINY.num_styles, 16)
        noise = [n.to("cuda") for n in far.noise(1, torch.Generator())]
        assert far.synthesis(styles, noise).device.type == "cuda"


def test_one_shot_samplers_are_defined(net, space):
    for kind in ("jitter", "layer_mix", "gaussian", "offset"):
        w, _ = drawn(net, space, kind, k=1)
        assert torch.isfinite(w).all() and float(w.flatten(1).var(0).sum()) > 0


def test_projection_on_a_span(net):
    codes = styles(net, 3, 7) + 0.1
    inside = (codes * torch.tensor([0.2, 0.5, 0.3])[:, None, None]).sum(0, keepdim=True)
    torch.testing.assert_close(onto_span(inside, codes), inside, rtol=1e-2, atol=1e-2)
    w = styles(net, 6, 8)
    torch.testing.assert_close(onto_span(w, codes).norm(dim=2), w.norm(dim=2))


def test_rssa_mask_at_its_own_depth():
    want = [0.0] * 3 + [0.05] * 4 + [0.45] * 2 + [0.65] * 2 + [0.85] * 3
    torch.testing.assert_close(rssa_mask(14), torch.tensor(want))


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="shrink=2"):
        dataclasses.replace(SAMPLE, shrink=2.0)
    with pytest.raises(ValueError, match="kind='best'"):
        dataclasses.replace(SAMPLE, kind="best")


def test_fresh_noise_changes_details(net):
    x = targets(net, method(net))
    fixed, fresh = method(net, steps=5), method(net, sample={"fresh_noise": True}, steps=5)
    state = fixed.adapt(x, seed=0, progress=NoProgress())
    a, b = fixed.sampler(state, draw=0)([0, 1]), fresh.sampler(state, draw=0)([0, 1])
    assert 0 < float((a - b).abs().mean()) < 0.2
    assert math.isfinite(float(b.sum()))
