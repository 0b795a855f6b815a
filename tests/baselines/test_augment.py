"""Adaptive augmentation and path lengths against closed forms."""

import math

import pytest
import torch

from baselines.common import augment as a
from baselines.common.adversarial import (
    critic_loss,
    generator_loss,
    path_lengths,
    path_penalty,
    r1_penalty,
)


def images(n=2, side=16, seed=0):
    """Smooth images, so that filters change little."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 4, generator=g, dtype=torch.float64) * 2 - 1
    size = (side, side)
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False)


def eye(n, m=3):
    return torch.eye(m, dtype=torch.float64).repeat(n, 1, 1)


def test_the_filter_is_orthonormal_so_that_no_movement_gives_the_image_back():
    taps = torch.tensor(a.SYM6, dtype=torch.float64)
    for lag in range(0, 12, 2):
        product = float((taps[: 12 - lag] * taps[lag:]).sum())
        assert product == pytest.approx(float(lag == 0), abs=1e-9)
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(a.with_geometry(x, eye(2)), x, rtol=0, atol=1e-7)


def test_whole_movements_are_those_of_the_pixels():
    x = images()
    one = torch.ones(2)
    shifted = a.with_geometry(x, a.moved(3 * one, -2 * one))  # result (i, j) shows (i - 2, j + 3)
    torch.testing.assert_close(shifted[..., 2:, :-3], x[..., :-2, 3:], rtol=0, atol=1e-6)
    flipped = a.with_geometry(x, a.scaled(-one, one))
    torch.testing.assert_close(flipped, x.flip(3), rtol=0, atol=0.02)  # sym6 is not symmetric
    quarter = a.with_geometry(x, a.turned(one * math.pi / 2))
    torch.testing.assert_close(quarter, x.rot90(1, (2, 3)), rtol=0, atol=0.02)
    wrong = float((quarter - x.rot90(-1, (2, 3))).abs().max())
    assert wrong > 0.2
    # Outside lies the reflection.
    torch.testing.assert_close(shifted[..., 2:, -3], x[..., :-2, -2], rtol=0, atol=1e-6)


def test_colours_by_hand():
    x = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    grey = torch.full((1, 3, 1, 1), 0.5)

    def only(position, g_seed=0):
        """The matrix with all but one transformation left out."""
        calls = []

        def sometimes(matrices, p, g):
            calls.append(matrices)
            keep = len(calls) - 1 == position
            return matrices if keep else torch.eye(4).expand_as(matrices)

        whole, a.sometimes = a.sometimes, sometimes
        try:
            return a.random_colour(1, 1.0, torch.Generator().manual_seed(g_seed)), calls
        finally:
            a.sometimes = whole

    bright, calls = only(0)
    assert len(calls) == 5
    shift = float(bright[0, 0, 3])
    torch.testing.assert_close(a.with_colour(grey, bright), grey + shift)
    contrast, _ = only(1)
    torch.testing.assert_close(a.with_colour(x, contrast), x * contrast[0, 0, 0])
    for seed in range(8):
        inverted, _ = only(2, seed)
        got = a.with_colour(grey, inverted)
        assert torch.allclose(got, grey) or torch.allclose(got, -grey, atol=1e-6)
    hue, _ = only(3)
    torch.testing.assert_close(a.with_colour(grey, hue), grey)  # grey has no hue
    rotation = hue[0, :3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3))
    assert torch.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(rotation, torch.eye(3), atol=0.1)
    saturation, _ = only(4)
    torch.testing.assert_close(a.with_colour(grey, saturation), grey)
    got = a.with_colour(x, saturation).flatten()
    factor = (got[0] - 1 / 3) / (2 / 3)  # what is not grey grows by a factor
    torch.testing.assert_close(got, 1 / 3 + factor * torch.tensor([2 / 3, -1 / 3, -1 / 3]))


def test_probability_decides_how_often():
    g = torch.Generator().manual_seed(0)
    x = images().float()
    assert a.augmented(x, 0.0, g) is x
    many = a.sometimes(torch.zeros(4000, 3, 3), 0.3, g)
    assert float((many == 0).all((1, 2)).float().mean()) == pytest.approx(0.3, abs=0.03)
    still = a.random_geometry(400, 64, 0.1, g)
    share = float((still - torch.eye(3)).abs().amax((1, 2)).lt(1e-6).float().mean())
    # Eight transformations; a flip or quarter turn by nothing does not move. (1 - p)^7 (1 - p/2)...
    expected = (1 - 0.05) * (1 - 0.075) * 0.9**4 * 0.9
    assert share == pytest.approx(expected, abs=0.08)
    same = [a.augmented(x, 0.9, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*same) and not torch.allclose(same[0], x, atol=0.1)


def test_gradients_reach_the_images():
    x = images().float().requires_grad_(True)
    a.augmented(x, 0.8, torch.Generator().manual_seed(1)).sum().backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0


def test_strength_follows_the_critic():
    said = {"target": 0.6, "seen": 16, "images": 160}
    assert a.adapted(0.5, 0.9, **said) == pytest.approx(0.6)
    assert a.adapted(0.5, 0.6, **said) == pytest.approx(0.4)
    assert a.adapted(0.05, 0.0, **said) == 0.0
    assert a.adapted(0.95, 1.0, **said) == 1.0


def test_path_lengths_of_a_linear_generator():
    """Images A w: J^T y = A^T y, of which the norm is known."""
    g = torch.Generator().manual_seed(0)
    matrix = torch.randn(12, 5, generator=g, dtype=torch.float64)
    styles = torch.randn(3, 2, 5, generator=g, dtype=torch.float64, requires_grad=True)
    made = (styles.sum(1) @ matrix.T).view(3, 3, 2, 2)
    noise = torch.randn(3, 3, 2, 2, generator=g, dtype=torch.float64)
    want = (noise.view(3, 12) / 2 @ matrix).norm(dim=1)  # both layers have the same gradient
    lengths = path_lengths(made, styles, noise)
    torch.testing.assert_close(lengths, want)
    penalty, mean = path_penalty(torch.tensor([1.0, 3.0]), torch.tensor(0.0), 0.25)
    assert float(mean) == 0.5  # 0 + 0.25 (2 - 0)
    assert float(penalty) == pytest.approx((0.5**2 + 2.5**2) / 2)


def test_losses_by_hand():
    softplus = math.log1p(math.exp(1.0))
    assert float(critic_loss(torch.tensor([0.0]), torch.tensor([[1.0]]))) == pytest.approx(
        math.log(2) + softplus
    )
    assert float(generator_loss(torch.tensor([-1.0]))) == pytest.approx(softplus)
    real = torch.ones(2, 1, 1, 3)
    # sum of x^2: gradient 2x, squared norm 12 an image
    penalty = r1_penalty(lambda x: x.square().sum((1, 2, 3)), real).detach()
    assert float(penalty) == pytest.approx(12.0)
