"""GAN adaptation: its terms by hand, and trainings of a tiny generator and critic."""

import dataclasses
import math

import pytest
import torch

from baselines.common.critic import Critic
from baselines.common.stylegan2 import StyleArchitecture, StyleGenerator
from baselines.gan_adapt import GANAdapt, Objective, Regularisation
from baselines.gan_adapt import objective as o
from baselines.gan_adapt.maps import critic_map, critic_maps, generator_maps, patch_levels
from baselines.gan_adapt.ties import fisher_information
from fsig_bench.api.types import NoProgress

TINY = StyleArchitecture(resolution=16, style_dim=8, mapping_layers=2, channels={4: 8, 8: 8, 16: 4})
PAPER = StyleArchitecture(
    resolution=256,
    style_dim=512,
    mapping_layers=8,
    channels={4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128},
)


@dataclasses.dataclass(frozen=True)
class Source:
    """What `StyleSource` offers, without the check against a manifest."""

    net: StyleGenerator
    tensors: dict
    device: str = "cpu"

    def critic_parts(self):
        return self.net.arch, self.tensors


OBJECTIVE = Objective(
    iterations=8,
    augment="none",
    augment_target=0.6,
    augment_images=200,
    frozen_layers=0,
    ewc_weight=0.0,
    fisher_images=4,
    distance_weight=0.0,
    contrast_weight=0.0,
    critic_contrast_weight=0.0,
    temperature=0.07,
    relation_batch=3,
    anchor_every=0,
    anchor_std=0.1,
    patch_levels=1,
)


@pytest.fixture
def method():
    torch.manual_seed(0)
    net = StyleGenerator(TINY).eval().requires_grad_(False)
    return GANAdapt(
        generator=Source(net, Critic(TINY).state_dict()),
        objective=OBJECTIVE,
        regularisation=Regularisation(
            r1_gamma=1.0, r1_every=4, path_weight=2.0, path_every=4, path_shrink=2, path_decay=0.01
        ),
        length=1.0,
        batch=4,
        lr=2e-3,
        flip=0.5,
        mixing=0.9,
        average_half_life=4.0,
        final="raw",
    )


def shots(k):
    return torch.rand(k, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def changed(method, **values):
    return dataclasses.replace(method, objective=dataclasses.replace(method.objective, **values))


def test_similarities_and_their_divergence_by_hand():
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    second = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    got = o.log_similarities([first, second], [0, 1, 0])
    r = 1 / math.sqrt(2)
    want = torch.tensor([[0.0, r], [1.0, 0.0], [r, r]])  # image 1 is compared in the second layer
    torch.testing.assert_close(got, want.log_softmax(1))
    own, source = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    kl = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert float(o.distance_consistency(own, source)) == pytest.approx(kl / 2)
    assert float(o.distance_consistency(source, source)) == pytest.approx(0, abs=1e-7)


def test_contrasts_by_hand():
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    other = torch.tensor([[0.0, 1.0]])
    t = 0.5
    # image 0: partner 1, other 0; image 1: partner 1, other 1
    want = (math.log(1 + math.exp(-1 / t)) + math.log(2)) / 2
    assert float(o.contrast(a, a, other, t)) == pytest.approx(want, rel=1e-5)
    both = math.log(1 + math.exp(-1 / t))
    assert float(o.contrast_with_codes(a, a, t)) == pytest.approx(both, rel=1e-5)


def test_weights_are_held_by_their_information():
    own, source = {"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([0.0, 4.0])}
    assert float(o.weight_penalty(own, source, {"a": torch.tensor([3.0, 0.5])})) == 3 + 2


def test_the_information_is_the_mean_squared_gradient_of_the_log_likelihood(method):
    net, critic = method.generator.net, Critic(TINY).requires_grad_(False)
    found = fisher_information(net, critic, 2, torch.Generator().manual_seed(3))
    g, total = torch.Generator().manual_seed(3), 0.0
    moving = dict(StyleGenerator(TINY).named_parameters())
    own = StyleGenerator(TINY)
    own.load_state_dict(net.state_dict())
    for _ in range(2):
        z = torch.randn(1, 8, generator=g)
        image = own.synthesis(own.repeat(own.mapping(z)), own.noise(1, g))
        own.zero_grad()
        torch.sigmoid(critic(image)).log().sum().backward()
        total = total + own.const.grad.square() / 2
    torch.testing.assert_close(found["const"], total)
    assert set(found) == set(moving)
    assert not any(p.requires_grad for p in net.parameters())


def test_maps_are_those_inside_the_networks(method):
    net, g = method.generator.net, torch.Generator().manual_seed(0)
    styles, noise = net.repeat(net.mapping(torch.randn(2, 8, generator=g))), net.noise(2, g)
    seen = []
    hooks = [
        m.register_forward_hook(lambda m, i, out: seen.append(out))
        for m in (net.first, *net.up, *net.flat)
    ]
    image = net.synthesis(styles, noise)
    for hook in hooks:
        hook.remove()
    maps = generator_maps(net, styles, noise)
    assert len(maps) == len(seen) == net.arch.num_styles - 1
    assert all(torch.equal(a, b) for a, b in zip(maps, seen, strict=True))
    critic = Critic(TINY)
    inside = critic_maps(critic, image)
    assert torch.equal(critic_map(critic, image, 0, 1), inside[4])  # 8 -> 4 px, second convolution
    assert [m.shape[2] for m in inside] == [16, 16, 8, 8, 4, 4]


def test_patches_are_judged_where_cdc_does():
    """At 256 px: 512 channels at 32, 32, 16 and 16 px."""
    assert patch_levels(PAPER) == [512] * 4
    wide = dataclasses.replace(PAPER, channels={side: side for side in PAPER.channels})
    assert patch_levels(wide) == [32, 32, 16, 16]


PRESETS = {
    "tgan": {},
    "ada": {"augment": "adaptive"},
    "freezed": {"frozen_layers": 1},
    "ewc": {"ewc_weight": 1e3},
    "cdc": {"distance_weight": 1000.0, "anchor_every": 4},
    "dcl": {"contrast_weight": 2.0, "critic_contrast_weight": 0.5, "anchor_every": 4},
}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("k", [1, 5])
def test_any_number_of_shots_and_the_count_of_evaluations(method, name, k):
    method = changed(method, **PRESETS[name])
    net, drawn = StyleGenerator, []
    whole, parts = net.forward, net.flat if hasattr(net, "flat") else None
    assert parts is None

    def counted(self, styles, noise):
        drawn.append(len(styles))
        return whole(self, styles, noise)

    net.forward = counted
    try:
        state = method.adapt(shots(k), seed=0, progress=NoProgress())
    finally:
        net.forward = whole
    # Maps are drawn without the last layers' colours, and counted as images.
    maps = 2 * 3 * method.steps if name in ("cdc", "dcl") else 0
    assert sum(drawn) + maps == state.nfe_adapt == method.planned_nfe(k)
    assert {key.split("/")[0] for key in state.tensors} == {"generator", "critic"}
    source = method.generator.net.state_dict()
    assert not torch.equal(state.tensors["generator/const"], source["const"])
    frozen = torch.equal(state.tensors["critic/rgb.weight"], method.generator.tensors["rgb.weight"])
    assert frozen == (name == "freezed")
    images = method.sampler(state, draw=0)([3, 1])
    assert images.shape == (2, 3, 16, 16) and torch.isfinite(images).all()


def moved(method):
    """How far training takes the generator's weights from the source's."""
    state = method.adapt(shots(3), seed=0, progress=NoProgress())
    source = method.generator.net.state_dict()
    return math.sqrt(sum(float((state.tensors[f"generator/{k}"] - v).square().sum())
                         for k, v in source.items()))  # fmt: skip


def test_ewc_keeps_the_weights_closer(method):
    method = dataclasses.replace(method, lr=0.02)
    free = moved(changed(method, iterations=20))
    held = moved(changed(method, iterations=20, ewc_weight=1e6, fisher_images=20))
    assert held < 0.8 * free


def test_the_average_follows_and_lengths_scale(method):
    far, near = moved(method), moved(dataclasses.replace(method, final="average"))
    assert 0 < near < far
    half = dataclasses.replace(method, length=0.5)
    assert (method.steps, half.steps) == (8, 4)
    assert dataclasses.replace(method, length=1e-9).steps == 1


def test_augmentation_grows_where_the_critic_knows_the_shots(method):
    """A critic that is always sure: p grows by 16 / 200 every four steps."""
    sure = changed(method, augment="adaptive", augment_target=-2.0)
    state = sure.adapt(shots(3), seed=0, progress=NoProgress())
    assert state.meta["augment_p"] == pytest.approx(2 * 16 / 200, abs=1e-4)
    unsure = changed(method, augment="adaptive", augment_target=2.0)
    assert unsure.adapt(shots(3), seed=0, progress=NoProgress()).meta["augment_p"] == 0


def test_wrong_settings_are_refused_in_a_sentence(method):
    with pytest.raises(ValueError, match="patch_levels=2: a critic of 16 px has 1"):
        changed(method, anchor_every=2, patch_levels=2).adapt(
            shots(2), seed=0, progress=NoProgress()
        )
    with pytest.raises(ValueError, match="frozen_layers=3: the critic has 2"):
        changed(method, frozen_layers=3).adapt(shots(2), seed=0, progress=NoProgress())
    with pytest.raises(ValueError, match="frozen_layers=2: the critic has 2 blocks, and one must"):
        changed(method, frozen_layers=2).adapt(shots(2), seed=0, progress=NoProgress())
    with pytest.raises(ValueError, match="another method"):
        dataclasses.replace(method, objective=object())
    with pytest.raises(FloatingPointError, match="step 0; lower method.lr"):
        changed(method, ewc_weight=math.inf).adapt(shots(2), seed=0, progress=NoProgress())
