"""How faithful images of the rendered world are: figures that a Frechet distance does not show.

Shape legend: n images, h height, w width; images are uint8 RGB.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fsig_bench.api.images import to_float
from fsig_bench.faceworld.reader import FactorReader, class_of
from fsig_bench.metrics.spectrum import luminance, nyquist_power

PATCH = 16  # pixels
FLAT = 2.0  # grey levels: standard deviation of a flat patch after 2x2 averaging
STRONG = 40.0  # grey levels a pixel: a strong edge


def measure_nyquist(images: Tensor) -> tuple[float, float]:
    """The Nyquist ratio of the metric `spectrum`, along rows or columns, whichever is larger.

    Also the amplitude there, in grey levels: that of pixels that alternate by as much. A level more
    in one and a level less in the next have 1.
    """
    power = nyquist_power(images).mean(0)
    ratios = power[:, 0] / power[:, 1].clamp(min=1e-12)  # of even lines: 0
    larger = int(ratios.argmax())
    half = images.shape[3 - larger] / 2  # the sum of the window
    return float(ratios[larger]), float(power[larger, 0].sqrt() / half)


def measure_grain(images: Tensor) -> float:
    """Root mean square difference of a pixel from its 2x2 square's mean, in grey levels.

    Over flat 16x16 patches; flatness is judged on the squares' means, which see no checkerboard.
    """
    tiles = (
        luminance(images).unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH).reshape(-1, PATCH, PATCH)
    )
    means = F.avg_pool2d(tiles[:, None], 2)
    flat = means.flatten(1).std(1) < FLAT
    gap = tiles[:, None] - F.interpolate(means, scale_factor=2.0, mode="nearest")
    return float(gap[flat].square().mean().sqrt())


def measure_edges(images: Tensor) -> float:
    """Share of pixels whose luminance changes by more than `STRONG` to its lower right."""
    y = luminance(images)
    step = (y[:, 1:, 1:] - y[:, :-1, 1:]).square() + (y[:, 1:, 1:] - y[:, 1:, :-1]).square()
    return float((step.sqrt() > STRONG).float().mean())


def measure_residuals(images: Tensor, reader: FactorReader) -> tuple[float, float]:
    """Median distance to the renderer's drawing from the factors read off the image.

    Root mean square of pixels in grey levels, and distance in the reader's perceptual maps.
    """
    factors = reader.read(reader.features(images))[0]
    redrawn = reader.redraw(factors, class_of("adults"))
    gap = images.float() - redrawn.float()
    rows = [reader.perceive(to_float(part)) for part in (images, redrawn)]
    seen = (rows[0] - rows[1]).square().sum(1)
    return float(gap.square().mean((1, 2, 3)).sqrt().median()), float(seen.median())


def describe(images: Tensor, reader: FactorReader) -> dict[str, float]:
    """The figures that need no reference."""
    pixels, seen = measure_residuals(images[:500], reader)
    ratio, amplitude = measure_nyquist(images)
    return {
        "nyquist": ratio,
        "nyquist_grey": amplitude,
        "grain": measure_grain(images),
        "edges": measure_edges(images),
        "residual_pixels": pixels,
        "residual_seen": seen,
    }
