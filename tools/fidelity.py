"""How faithful images of the rendered world are: figures that a Frechet distance does not show.

Shape legend: n images, h height, w width; images are uint8 RGB.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fsig_bench.api.images import to_float
from fsig_bench.faceworld.reader import FactorReader, class_of

TOP = 4  # rows above nearly every head, and columns left of it
PATCH = 16  # pixels
FLAT = 2.0  # grey levels: standard deviation of a flat patch after 2x2 averaging
STRONG = 40.0  # grey levels a pixel: a strong edge


def grey(images: Tensor) -> Tensor:
    """uint8 [n, 3, h, w] -> luminance [n, h, w], 0 to 255."""
    return (images.float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)


def measure_nyquist(images: Tensor) -> tuple[float, float]:
    """The larger of `nyquist_along` over the top rows and over the left columns."""
    y = grey(images)
    return max(nyquist_along(y[:, :TOP]), nyquist_along(y[:, :, :TOP].mT))


def nyquist_along(lines: Tensor) -> tuple[float, float]:
    """Power of background lines at the Nyquist frequency over that at half to 7/8 of it; amplitude.

    Under a Hann window, which keeps the peak within two bins of its place. White noise has a ratio
    of 1, a grid of two pixels more. The amplitude, in grey levels, is that of pixels that alternate
    by as much: a level more in one and a level less in the next have 1.
    """
    side = lines.shape[2]
    centred = lines - lines.mean(2, keepdim=True)
    power = torch.fft.rfft(centred * torch.hann_window(side)).abs().square().mean((0, 1))
    peak = power[side // 2]
    ratio = peak / power[side // 4 : side * 7 // 16].mean().clamp(min=1e-12)  # of an even line: 0
    return float(ratio), float(peak.sqrt() / (side / 2))  # the window's sum is half of its width


def measure_grain(images: Tensor) -> float:
    """Root mean square difference of a pixel from its 2x2 square's mean, in grey levels.

    Over flat 16x16 patches; flatness is judged on the squares' means, which see no checkerboard.
    """
    tiles = grey(images).unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH).reshape(-1, PATCH, PATCH)
    means = F.avg_pool2d(tiles[:, None], 2)
    flat = means.flatten(1).std(1) < FLAT
    gap = tiles[:, None] - F.interpolate(means, scale_factor=2.0, mode="nearest")
    return float(gap[flat].square().mean().sqrt())


def measure_edges(images: Tensor) -> float:
    """Share of pixels whose luminance changes by more than `STRONG` to its lower right."""
    y = grey(images)
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
