"""Adaptive augmentation of what a critic sees: images are moved and coloured at random.

Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020,
arXiv:2006.06676: section 2.2 (why it does not leak), 3 (its strength follows the critic), appendix
B (the transformations; here pixel blitting, geometry and colour, their "bgc").

Each transformation is applied to an image with probability p. All geometric ones of an image are
one matrix, all colour ones another. Images are filtered up twofold with the sym6 wavelet, sampled
bilinearly and filtered down with the same wavelet, which alone gives the image back.

Shape legend: n images, s their side.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Daubechies' least asymmetric orthonormal filter with six vanishing moments, sum sqrt(2).
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
TAPS = len(SYM6)
MARGIN = TAPS // 2  # px that are reflected around an image before it is filtered
CUT = MARGIN - 1  # fine px beyond those of the padded image
DELAY = sum(t * tap for t, tap in enumerate(SYM6)) / sum(SYM6)  # fine px; sym6 is not symmetric
GREY = (1 / math.sqrt(3),) * 3  # the luma axis


def _diagonal(*entries: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack(entries, 1))


def scaled(x: Tensor, y: Tensor) -> Tensor:
    """Matrices [n, 3, 3] that scale by x and y [n]."""
    return _diagonal(x, y, torch.ones_like(x))


def moved(x: Tensor, y: Tensor) -> Tensor:
    """Matrices [n, 3, 3] that move by x and y [n] px."""
    out = torch.eye(3).repeat(len(x), 1, 1)
    out[:, 0, 2], out[:, 1, 2] = x, y
    return out


def turned(angle: Tensor) -> Tensor:
    """Matrices [n, 3, 3] that rotate by angles [n] in radians."""
    out = torch.eye(3).repeat(len(angle), 1, 1)
    out[:, 0, 0] = out[:, 1, 1] = angle.cos()
    out[:, 1, 0] = angle.sin()
    out[:, 0, 1] = -angle.sin()
    return out


def sometimes(matrices: Tensor, p: float, g: torch.Generator) -> Tensor:
    """Each matrix [n, m, m] with probability p, else the identity."""
    keep = torch.rand(len(matrices), 1, 1, generator=g) < p
    return torch.where(keep, matrices, torch.eye(matrices.shape[-1]))


def random_geometry(n: int, side: int, p: float, g: torch.Generator) -> Tensor:
    """Matrices [n, 3, 3]: pixel coordinates from the middle, of the result -> of the image."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, n, generator=g)

    def angle() -> Tensor:
        return (2 * torch.rand(n, generator=g) - 1) * math.pi

    one = torch.ones(n)
    p_turn = 1 - math.sqrt(1 - p)  # two rotations: at least one of them with probability p
    flip = 1.0 - 2 * torch.randint(2, (n,), generator=g)
    quarter = torch.randint(4, (n,), generator=g) * (math.pi / 2)
    whole = ((torch.rand(2, n, generator=g) - 0.5) / 4 * side).round()
    size, stretch = 2 ** (0.2 * normal()), 2 ** (0.2 * normal())
    shift = 0.125 * side * normal(2)
    out = torch.eye(3).repeat(n, 1, 1)
    for chance, matrices in (
        (p, scaled(flip, one)),
        (p, turned(quarter)),
        (p, moved(whole[0], whole[1])),
        (p, scaled(size, size)),
        (p_turn, turned(angle())),
        (p, scaled(stretch, 1 / stretch)),
        (p_turn, turned(angle())),
        (p, moved(shift[0], shift[1])),
    ):
        out = out @ sometimes(matrices, chance, g)
    return out


def random_colour(n: int, p: float, g: torch.Generator) -> Tensor:
    """Matrices [n, 4, 4] on (r, g, b, 1) of images in [-1, 1]."""
    axis = torch.tensor([*GREY, 0.0])
    along = torch.outer(axis, axis).expand(n, 4, 4)
    eye = torch.eye(4).expand(n, 4, 4)
    colours = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0])).expand(n, 4, 4)
    rest = eye - colours
    cross = torch.zeros(4, 4)
    x, y, z = GREY
    cross[:3, :3] = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])

    bright = eye.clone()
    bright[:, :3, 3] = 0.2 * torch.randn(n, 1, generator=g)
    contrast = 2 ** (0.5 * torch.randn(n, generator=g))
    inverted = torch.randint(2, (n, 1, 1), generator=g)
    hue = (2 * torch.rand(n, 1, 1, generator=g) - 1) * math.pi
    saturation = 2 ** torch.randn(n, 1, 1, generator=g)
    out = eye
    for matrices in (
        bright,
        _diagonal(contrast, contrast, contrast, torch.ones(n)),
        eye - 2 * along * inverted,
        along + (colours - along) * hue.cos() + cross * hue.sin() + rest,
        along + (colours - along) * saturation + rest,
    ):
        out = sometimes(matrices, p, g) @ out
    return out


def _filtered(images: Tensor, *, up: bool) -> Tensor:
    """Twice as large by sym6 in both axes, or half as large, without padding."""
    c, taps = images.shape[1], torch.tensor(SYM6, dtype=images.dtype, device=images.device)
    for shape in ((1, 1, TAPS, 1), (1, 1, 1, TAPS)):
        kernel = taps.view(shape).expand(c, -1, -1, -1)
        stride = (2, 1) if shape[2] > 1 else (1, 2)
        if up:
            images = F.conv_transpose2d(images, kernel, stride=stride, groups=c)
        else:
            images = F.conv2d(images, kernel, stride=stride, groups=c)
    return images


def with_geometry(images: Tensor, matrices: Tensor) -> Tensor:
    """Images [n, c, s, s] seen through `random_geometry`'s matrices; borders are reflected."""
    side = images.shape[-1]
    fine = _filtered(F.pad(images, (MARGIN,) * 4, mode="reflect"), up=True)
    fine = fine[:, :, CUT:-CUT, CUT:-CUT]  # what filtering adds around the padded image
    steps = torch.arange(2 * (side - 1) + TAPS, device=images.device, dtype=images.dtype)
    place = (steps - DELAY) / 2 - (side - 1) / 2  # px from the middle
    y, x = torch.meshgrid(place, place, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1)  # [m, m, 3]
    seen = torch.einsum("nij,abj->nabi", matrices.to(images)[:, :2], points)
    index = 2 * (seen + (side - 1) / 2 + MARGIN) + DELAY - CUT  # in `fine`
    grid = (2 * index + 1) / fine.shape[-1] - 1
    out = F.grid_sample(fine, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _filtered(out, up=False)


def with_colour(images: Tensor, matrices: Tensor) -> Tensor:
    """Images [n, 3, h, w] with each pixel's colour through matrices [n, 4, 4]."""
    m = matrices.to(images)
    return torch.einsum("nij,njhw->nihw", m[:, :3, :3], images) + m[:, :3, 3, None, None]


def augmented(images: Tensor, p: float, g: torch.Generator) -> Tensor:
    """Images [n, 3, s, s] with every transformation at probability p; themselves at p = 0."""
    if p <= 0:
        return images
    n, _, side, _ = images.shape
    images = with_geometry(images, random_geometry(n, side, p, g))
    return with_colour(images, random_colour(n, p, g))


def adapted(p: float, mean_sign: float, *, target: float, seen: int, images: int) -> float:
    """The next p: up where the critic knows the real images too well, else down (section 3).

    Args:
        p: as it is.
        mean_sign: of the critic's logits for real images since the last change, r_t.
        target: of r_t.
        seen: images since the last change.
        images: over how many images p may go from 0 to 1.
    """
    step = seen / images if mean_sign > target else -seen / images
    return min(1.0, max(0.0, p + step))
