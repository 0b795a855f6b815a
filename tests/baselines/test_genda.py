"""GenDA on a small random generator and critic."""

import dataclasses

import pytest
import torch

from baselines.common.critic import Critic
from baselines.common.ensemble import Together
from baselines.common.stylegan2 import StyleArchitecture, StyleGenerator
from baselines.genda import GenDA, LatentNet, gram
from fsig_bench.api.types import NoProgress
from fsig_bench.networks.random_trunk import RandomTrunk

TINY = StyleArchitecture(
    resolution=16, style_dim=16, mapping_layers=2, channels={4: 16, 8: 16, 16: 8}
)


@dataclasses.dataclass(frozen=True)
class Source:
    """What `StyleSource` offers, without the check against a manifest."""

    net: StyleGenerator
    tensors: dict
    device: str = "cpu"

    def critic_parts(self):
        return self.net.arch, self.tensors


@pytest.fixture
def method():
    torch.manual_seed(0)
    net = StyleGenerator(TINY).eval().requires_grad_(False)
    return GenDA(
        generator=Source(net, Critic(TINY).state_dict()),
        perceptual=RandomTrunk(seed=0, width=8),
        updates=6,
        batch=4,
        lr=5e-3,
        betas=[0.0, 0.99],
        adversarial_weight=5.0,
        style_weight=50.0,
        style_steps="each",
        episodes_at_once=1,
    )


@pytest.fixture
def shots():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_gram_by_hand():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels of a 1 x 2 map
    torch.testing.assert_close(gram(maps), torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4)


def test_every_image_depends_on_its_own_episode_only(method, shots):
    state = method.adapt(shots, seed=5, progress=NoProgress())
    whole = method.sampler(state, draw=0)(range(7))
    alone = method.sampler(state, draw=0)([4])
    torch.testing.assert_close(whole[4:5], alone, atol=1e-5, rtol=0)
    assert not torch.equal(whole[0], whole[3])  # the same code's place in the next episode
    assert not torch.equal(whole[4], method.sampler(state, draw=1)([4])[0])


@pytest.mark.parametrize("style_steps", ["each", "together"])
def test_the_style_loss_brings_gram_matrices_towards_the_shots(method, shots, style_steps):
    method = dataclasses.replace(method, style_steps=style_steps, adversarial_weight=0.0)
    first = method.perceptual.trunk(shots)

    def gap(updates):
        net = dataclasses.replace(method, updates=updates)
        images = net.sampler(net.adapt(shots, seed=0, progress=NoProgress()), draw=0)(range(3))
        maps = net.perceptual.trunk(images)
        pairs = zip(maps, first, strict=True)
        return sum(float((gram(a).mean(0) - gram(b).mean(0)).square().sum()) for a, b in pairs)

    assert gap(40) < 0.5 * gap(0)


def test_the_second_half_of_a_code_stands_for_a_shot(method):
    """Official steps: code j ends near the style of shot j; halves that stay paired do not."""
    g = torch.Generator().manual_seed(3)
    noisy = torch.rand(1, 3, 16, 16, generator=g) * 2 - 1
    shots = torch.cat([noisy * 0.1 - 0.8, noisy * 0.1 + 0.8, noisy])
    goals = [gram(m) for m in method.perceptual.trunk(shots)]
    own = {}
    for steps in ("each", "together"):
        m = dataclasses.replace(method, style_steps=steps, adversarial_weight=0.0, updates=60)
        images = m.sampler(m.adapt(shots, seed=0, progress=NoProgress()), draw=0)(range(3))
        maps = [gram(f) for f in m.perceptual.trunk(images)]
        pairs = zip(maps, goals, strict=True)
        gaps = sum((a[:, None] - b[None]).square().mean((2, 3)) for a, b in pairs)
        own[steps] = int((gaps.argmin(1) == torch.arange(3)).sum())
    assert own["each"] == 3 > own["together"]


@pytest.mark.parametrize("style_steps", ["each", "together"])
def test_episodes_at_once_are_those_one_by_one_up_to_rounding(method, shots, style_steps):
    images = {}
    # Few updates: Adam's steps have the sign of a gradient that may be rounding, and more of them
    # part as those of another number of threads do.
    method = dataclasses.replace(method, style_steps=style_steps, updates=2, lr=1e-3)
    for at_once in (1, 2, 3):
        m = dataclasses.replace(method, episodes_at_once=at_once)
        state = m.adapt(shots, seed=0, progress=NoProgress())
        draw = m.sampler(state, draw=0)
        images[at_once] = draw(range(9))
        # The same episodes are trained together, whichever images are asked for.
        some = m.sampler(state, draw=0)([7, 1])
        torch.testing.assert_close(some, images[at_once][[7, 1]], rtol=0, atol=1e-5)
    moved = float((images[1] - m.sampler(state, draw=1)(range(9))).abs().mean())
    for at_once in (2, 3):
        gap = (images[at_once] - images[1]).abs()
        assert float(gap.max()) < 1e-3 < 1e-2 < moved


def test_networks_together_are_the_networks_one_by_one():
    g, d = torch.Generator().manual_seed(0), TINY.style_dim
    nets = []
    for seed in range(3):
        torch.manual_seed(seed)
        nets.append(LatentNet(d))
    many = Together(nets[0], 3)
    many.put([net.state_dict() for net in nets])
    x = torch.randn(3, 5, 2 * d, generator=g)
    want = torch.stack([net(part) for net, part in zip(nets, x, strict=True)])
    torch.testing.assert_close(many(x), want)
    many(x)[1].sum().backward()
    nets[1](x[1]).sum().backward()
    grads = dict(zip(many.names, (p.grad for p in many.weights), strict=True))
    for name, p in nets[1].named_parameters():
        torch.testing.assert_close(grads[name][1], p.grad)
        assert not grads[name][[0, 2]].any()
    with pytest.raises(ValueError, match="buffers"):
        Together(torch.nn.BatchNorm1d(2), 2)


def test_the_source_is_left_alone_and_the_count_is_right(method, shots):
    before = {k: v.clone() for k, v in method.generator.net.state_dict().items()}
    state = method.adapt(shots, seed=0, progress=NoProgress())
    learners = method.learners()  # what an episode trains: its net and its critic
    trained = [p[0] for net in (learners.mapper, learners.critic) for p in net.parameters()]
    assert state.trained_params == sum(p.numel() for p in trained)
    calls = []
    synthesis = method.generator.net.synthesis
    method.generator.net.synthesis = lambda w, n: calls.append(len(w)) or synthesis(w, n)
    method.sampler(state, draw=0)(range(3))
    assert sum(calls) / 3 == pytest.approx(method.evaluations(3))
    assert state.meta["nfe_per_image"] == pytest.approx(method.evaluations(3), abs=0.1)
    for name, value in method.generator.net.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_diverging_step_is_named(method, shots):
    with pytest.raises(FloatingPointError, match=r"method\.lr"):
        bad = dataclasses.replace(method, style_weight=float("inf"))
        bad.sampler(bad.adapt(shots, seed=0, progress=NoProgress()), draw=0)(range(1))
