"""Guidance by shots: energies against finite differences, searches against their limits."""

import math

import pytest
import torch

from baselines.common.diffusion import ddim_loop
from baselines.guided import Guided
from baselines.guided.energies import (
    Kernel,
    density,
    kernel_for,
    mmd,
    mmd_gradient,
    nearest,
    typical_distance,
)
from baselines.guided.method import Noises
from baselines.guided.search import Weights, effective_count, systematic
from baselines.guided.steering import normalised, stochastic_step, strengths
from fsig_bench.api import NoProgress

DEFAULTS = {
    "num_steps": 6,
    "eta": 0.0,
    "energy": "mmd",
    "space": "pixels",
    "kernel": "polynomial",
    "degree": 3,
    "bandwidth": 1.0,
    "group": 3,
    "gradient": "clean",
    "strength": 0.1,
    "schedule": "increase",
    "normalise": True,
    "iterations": 1,
    "recurrence": 1,
    "search": "none",
    "particles": 4,
    "temperature": 0.01,
}
KERNELS = [
    Kernel(kind="polynomial", degree=3, scale=5.0),
    Kernel(kind="polynomial", degree=1, scale=2.0),
    Kernel(kind="gaussian", degree=1, scale=7.0),
]


class Halves:
    """A perceptual network that is linear: left and right halves, the right one weighed double."""

    def perceive(self, images):
        left, right = images.chunk(2, 3)
        return torch.cat([left.flatten(1), 2 * right.flatten(1)], 1)


def method(source, **changes):
    return Guided(source=source, perceptual=Halves(), **(DEFAULTS | changes))


def shots(k=5):
    g = torch.Generator().manual_seed(1)
    return (0.6 + 0.2 * torch.randn(k, 3, 8, 8, generator=g)).clamp(-1, 1)


def images(m, indices, k=5, draw=0):
    state = m.adapt(shots(k), seed=0, progress=NoProgress())
    return m.sampler(state, draw=draw)(indices)


def energies(m, indices, k=5):
    aim = m.aim(m.adapt(shots(k), seed=0, progress=NoProgress()))
    return aim.energies(images(m, indices, k), list(indices))


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def finite_differences(f, x, step=1e-5):
    flat, slope = x.flatten(), torch.zeros(x.numel(), dtype=x.dtype)
    for j in range(len(flat)):
        plus, minus = flat.clone(), flat.clone()
        plus[j] += step
        minus[j] -= step
        slope[j] = (f(plus.view_as(x)) - f(minus.view_as(x))) / (2 * step)
    return slope.view_as(x)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k.kind}{k.degree}")
def test_the_gradient_of_mmd_is_that_of_finite_differences(kernel):
    x, y = rows(2, 3, 4), rows(5, 4, seed=1)
    slope = finite_differences(lambda a: mmd(a, y, kernel).sum(), x)
    torch.testing.assert_close(mmd_gradient(x, y, kernel), 3 * slope, rtol=1e-6, atol=1e-8)


def test_mmd_with_a_linear_kernel_is_the_distance_between_means():
    x, y = rows(2, 3, 4), rows(5, 4, seed=1)
    gap = (x.mean(1) - y.mean(0)).square().sum(1) / 2.0
    torch.testing.assert_close(mmd(x, y, KERNELS[1]), gap)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k.kind}{k.degree}")
def test_mmd_of_the_shots_themselves_is_zero_and_of_others_it_is_not(kernel):
    y = rows(5, 4)
    assert abs(float(mmd(y[None], y, kernel))) < 1e-12
    assert float(mmd(rows(1, 5, 4, seed=2), y, kernel)) > 1e-3
    with_two = mmd(y[[0, 1, 2, 3, 4] * 2][None], y, kernel)
    assert abs(float(with_two)) < 1e-12


def test_nearest_and_density_have_the_gradients_of_finite_differences():
    x, y = rows(3, 4), rows(5, 4, seed=1)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(nearest(leaf, y[:3]).sum(), leaf)
    torch.testing.assert_close(slope, finite_differences(lambda a: nearest(a, y[:3]).sum(), x))
    (slope,) = torch.autograd.grad(density(leaf, y, scale=0.7).sum(), leaf)
    found = finite_differences(lambda a: density(a, y, scale=0.7).sum(), x)
    torch.testing.assert_close(slope, found, rtol=1e-6, atol=1e-8)
    # The gradient pulls to the mean of the shots under their responsibilities.
    part = (-(x[:, None] - y).square().sum(2) / 1.4).softmax(1)
    torch.testing.assert_close(slope, (x - part @ y) / 0.7)


def test_density_by_hand():
    shots_at = torch.tensor([[0.0], [2.0]])
    value = density(torch.tensor([[0.0]]), shots_at, scale=2.0)
    assert float(value) == pytest.approx(-math.log((1 + math.exp(-1)) / 2), abs=1e-6)


def test_the_scale_of_a_kernel_is_that_of_the_shots():
    y = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    assert typical_distance(y) == pytest.approx(4.0)
    assert typical_distance(y[:1]) == pytest.approx(3.0)
    made = kernel_for(y, kind="gaussian", degree=1, bandwidth=0.5)
    assert made.scale == pytest.approx(4.0)
    assert kernel_for(y, kind="polynomial", degree=3, bandwidth=9.0).scale == pytest.approx(25 / 3)


def test_strengths_have_a_mean_of_one_and_their_direction(toy_source):
    s = method(toy_source, num_steps=20).timetable
    for kind, sign in (("increase", -1), ("decrease", 1), ("constant", 0)):
        found = strengths(kind, s)
        assert sum(found) / 20 == pytest.approx(1)
        assert (found[-1] > found[0]) - (found[-1] < found[0]) == sign


def test_a_normalised_gradient_has_unit_size_and_none_stays_none():
    g = torch.stack([torch.full((3, 2, 2), 5.0), torch.zeros(3, 2, 2)])
    assert torch.equal(normalised(g), torch.stack([torch.ones(3, 2, 2), torch.zeros(3, 2, 2)]))


def test_a_step_with_all_noise_has_the_variance_of_the_posterior():
    """With eta 1 the step is DDPM's: mean and variance of q(x_{t-1} | x_t, x_0)."""
    a, b = 0.3, 0.5
    x, x0, z = (rows(1, 3, 2, 2, seed=n) for n in range(3))
    ratio = a / b
    mean = math.sqrt(b) * (1 - ratio) / (1 - a) * x0 + math.sqrt(ratio) * (1 - b) / (1 - a) * x
    std = math.sqrt((1 - b) / (1 - a) * (1 - ratio))
    found = stochastic_step(x, x0, abar=a, abar_prev=b, eta=1.0, noise=z)
    torch.testing.assert_close(found, mean + std * z)


def test_without_strength_it_is_the_source_models_own_ddim(toy_source):
    m = method(toy_source, strength=0.0)
    x = Noises(0, range(6), [0])(8, "cpu")
    plain = ddim_loop(toy_source.eps, x, m.timetable).clamp(-1, 1)
    torch.testing.assert_close(images(m, range(6)), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("energy", ["mmd", "nearest", "density"])
@pytest.mark.parametrize("space", ["pixels", "perceptual"])
def test_guidance_lowers_its_energy(toy_source, energy, space):
    found = [
        float(energies(method(toy_source, energy=energy, space=space, strength=v), range(6)).mean())
        for v in (0.0, 0.1)
    ]
    assert found[1] < 0.8 * found[0]


def test_pixels_written_out_and_differentiated_agree(toy_source):
    class Plain:
        def perceive(self, x):
            return x.flatten(1)

    for kernel in ("polynomial", "gaussian"):
        a = method(toy_source, kernel=kernel)
        b = Guided(
            source=toy_source,
            perceptual=Plain(),
            **(DEFAULTS | {"kernel": kernel, "space": "perceptual"}),
        )
        torch.testing.assert_close(images(a, range(3)), images(b, range(3)), atol=1e-4, rtol=0)


class Differentiable:
    """The toy source with a network that gradients pass through."""

    def __init__(self, toy):
        self.toy, self.device, self.resolution, self.abar = toy, "cpu", 8, toy.abar
        self.eps = toy.eps

    def unet(self, x, t):
        return self.toy.eps(x, int(t[0]))


def test_through_a_linear_network_the_direction_is_that_of_the_clean_gradient(toy_source):
    """x0_hat is linear in x_t and inside the range, so both gradients are parallel."""
    source = Differentiable(toy_source)
    common = {"energy": "nearest", "num_steps": 4}
    clean = method(source, **common)
    state = clean.adapt(shots(), seed=0, progress=NoProgress())
    x = 0.2 * Noises(0, range(4), [0])(8, "cpu")
    for i in (0, 2):
        one = clean._guide(clean.aim(state), x, i, range(4))[1]
        through = method(source, gradient="network", **common)
        other = through._guide(through.aim(state), x, i, range(4))[1]
        cosine = torch.nn.functional.cosine_similarity(one.flatten(1), other.flatten(1))
        assert float(cosine.min()) > 0.9999


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"search": "best_of", "particles": 2},
        {"search": "smc", "eta": 1.0, "particles": 3, "recurrence": 2},
        {"energy": "nearest", "search": "smc", "eta": 1.0},
    ],
    ids=str,
)
def test_an_image_is_the_same_alone_and_in_any_batch(toy_source, changes):
    m = method(toy_source, **changes)
    many = images(m, [7, 2, 0, 4])
    for n, i in enumerate([7, 2, 0, 4]):
        torch.testing.assert_close(images(m, [i])[0], many[n], atol=1e-5, rtol=0)
    assert not torch.allclose(images(m, [0], draw=1), many[2:3], atol=1e-2)


@pytest.mark.parametrize("energy", ["mmd", "nearest"])
def test_the_best_of_more_draws_never_has_a_higher_energy(toy_source, energy):
    levels = [
        energies(
            method(toy_source, energy=energy, search="best_of", particles=n, gradient="none"),
            range(6),
        )
        for n in (1, 2, 4, 8)
    ]
    for more, fewer in zip(levels[1:], levels, strict=False):
        assert (more <= fewer + 1e-6).all()
    assert levels[-1].mean() < levels[0].mean()
    asked = toy_source.calls
    m = method(toy_source, energy=energy, search="best_of", gradient="none", particles=8)
    images(m, range(6))
    assert toy_source.calls - asked == 6 * m.nfe_per_image == 6 * 8 * 6


@pytest.mark.parametrize("energy", ["mmd", "nearest"])
def test_one_particle_is_plain_sampling(toy_source, energy):
    one = method(toy_source, energy=energy, search="smc", particles=1, eta=1.0)
    plain = method(toy_source, energy=energy, eta=1.0)
    assert torch.equal(images(one, range(4)), images(plain, range(4)))


def test_particles_that_are_chosen_by_energy_have_less_of_it(toy_source):
    common = {"energy": "nearest", "eta": 1.0, "gradient": "none", "num_steps": 8}
    level = [
        float(
            energies(
                method(toy_source, search="smc", particles=n, temperature=t, **common), range(12)
            ).mean()
        )
        for n, t in ((1, 1.0), (8, 1.0))
    ]
    assert level[1] < level[0]


def test_systematic_resampling_keeps_the_expected_counts():
    weights = torch.tensor([0.5, 0.25, 0.25, 0.0]).log()[:, None].expand(4, 2)
    found = systematic(weights, torch.tensor([0.1, 0.9]))
    assert found.T.tolist() == [[0, 0, 1, 2], [0, 0, 1, 2]]
    even = torch.zeros(4, 1)
    assert systematic(even, torch.tensor([0.5])).flatten().tolist() == [0, 1, 2, 3]
    assert float(effective_count(even)) == pytest.approx(4)
    assert float(effective_count(torch.tensor([[0.0], [-99.0]]))) == pytest.approx(1)


def test_weights_end_at_the_last_energy_and_resampling_evens_them_out():
    w = Weights.even(3, [5], draw=0, temperature=0.5, device="cpu")
    w.see(torch.tensor([[3.0], [1.0], [2.0]]))
    w.see(torch.tensor([[1.0], [1.5], [2.0]]))
    torch.testing.assert_close(w.log, torch.tensor([[-2.0], [-3.0], [-4.0]]))
    w.see(torch.tensor([[90.0], [1.0], [90.0]]))
    assert int(w.choose()) == 1
    assert w.resample(0).flatten().tolist() == [1, 1, 1]
    assert w.log.flatten().tolist() == [0.0] * 3 and w.energy.flatten().tolist() == [1.0] * 3


@pytest.mark.parametrize("k", [1, 5, 10, 100])
def test_any_number_of_shots_will_do(toy_source, k):
    for changes in ({}, {"kernel": "gaussian"}, {"energy": "density"}, {"energy": "nearest"}):
        found = images(method(toy_source, **changes), range(3), k)
        assert torch.isfinite(found).all() and found.abs().max() <= 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gradient": "none"}, "leave the source model as it is"),
        ({"search": "smc"}, r"set eta=1\.0"),
        ({"group": 0}, "group=0"),
        ({"eta": 2.0}, "eta=2"),
        ({"energy": "clip"}, "choose one of mmd, nearest, density"),
        ({"temperature": 0.0}, "more than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(toy_source, changes, words):
    with pytest.raises(ValueError, match=words):
        method(toy_source, **changes)


def test_evaluations_are_counted(toy_source):
    m = method(toy_source, recurrence=2, search="smc", eta=1.0, iterations=3)
    images(m, range(3))
    assert toy_source.calls == 3 * m.nfe_per_image == 3 * 6 * 2 * 4
    notes = m.notes(m.adapt(shots(), seed=0, progress=NoProgress()))
    # On each of 4 paths: 6 steps of twice 3 gradients and one weighing, and the image in the end.
    assert notes["energy_evaluations_per_image"] == 4 * (6 * (2 * 3 + 1) + 1)
    assert notes["images_drawn_together"] == 3
