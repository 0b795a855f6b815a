"""Do samples hold as much detail as real images, at every scale, and no grid?

The power spectrum of an image's luminance, averaged over rings of equal spatial frequency, against
that of real images: generators leave checkerboards (Odena et al., "Deconvolution and Checkerboard
Artifacts", Distill 2016) or lose high frequencies (Durall et al., "Watch your Up-Convolution",
CVPR 2020, arXiv:2003.01826, who average over the same rings). Blur is a negative departure at high
frequencies, noise and grids a positive one.

A ring of high frequency holds hundreds of places, in which a grid that lies at one of them drowns.
Layers that double the resolution leave grids of two pixels, whose places are known: columns that
alternate, rows that alternate, and the checkerboard. So these three are bands of their own.

An image's ring counts by its logarithm, so that few images with much contrast do not decide. The
rings are wide, so that each holds many frequencies and its departure is known to a fraction of a
decibel from some hundred images: on the mini suite's babies, 500 fresh images against 2,500 show a
largest departure of 0.3 dB.

Shape legend: n images, h height, w width, b bands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api import JsonDict, generator
from fsig_bench.metrics.base import Evidence, in_batches

LUMA = (0.299, 0.587, 0.114)
GRIDS = ("columns", "rows", "checkerboard")  # of two pixels
SPREAD = 1 / 16  # cycles a pixel: how far a grid may lie from its place, where it is not even
TO_DB = 10 / math.log(10)
FLOOR_DRAWS = 20_000


def luminance(images: Tensor) -> Tensor:
    """uint8 [n, 3, h, w] -> float32 [n, h, w], 0 to 255."""
    return torch.einsum("nchw,c->nhw", images.float(), torch.tensor(LUMA))


def hann(side: int) -> Tensor:
    """A window without a repeated end, of mean square one."""
    window = torch.hann_window(side)
    return window / window.square().mean().sqrt()


def band_of(h: int, w: int, bands_per_octave: int) -> tuple[Tensor, list[float]]:
    """The band of each place of `rfft2`, int [h, w // 2 + 1], -1 for none, and the bands' centres.

    Frequencies are in cycles a pixel. Bands go from two periods an image to the Nyquist frequency
    of a row, 0.5, whose band has it at its centre; the corners beyond are the last band.
    """
    fy, fx = torch.fft.fftfreq(h).double(), torch.fft.rfftfreq(w).double()
    frequency = (fy[:, None] ** 2 + fx[None, :] ** 2).sqrt()
    lowest, step = 2 / min(h, w), 1 / bands_per_octave
    count = int(math.log2(0.5 / lowest) * bands_per_octave + 1e-9) + 1
    # Counted down from 0.5, band 0, in equal steps of the logarithm.
    down = (torch.log2(0.5 / frequency.clamp(min=1e-9)) / step).round().long()
    band = torch.where((down >= 0) & (down < count), count - 1 - down, -1)
    band[down < 0] = count  # the corners
    centres = [0.5 * 2 ** (-step * (count - 1 - j)) for j in range(count)]
    kept = [j for j in range(count + 1) if bool((band == j).any())]
    renamed = torch.full_like(band, -1)
    for new, old in enumerate(kept):
        renamed[band == old] = new
    return renamed, [[*centres, math.sqrt(0.5)][j] for j in kept]


def places_of_grids(h: int, w: int) -> list[Tensor]:
    """Where grids of two pixels lie in `rfft2`, bool [h, w // 2 + 1], in the order of `GRIDS`.

    Along the alternation the two places next to the Nyquist frequency, which a Hann window fills;
    across it, within SPREAD of an even grid.
    """
    fy, fx = torch.fft.fftfreq(h).abs()[:, None], torch.fft.rfftfreq(w)[None, :]
    y_alternates, x_alternates = fy >= 0.5 - 1.51 / h, fx >= 0.5 - 1.51 / w
    return [
        x_alternates & (fy <= SPREAD),
        y_alternates & (fx <= SPREAD),
        (fy >= 0.5 - SPREAD) & (fx >= 0.5 - SPREAD),
    ]


def log_power(bands_per_octave: int) -> Callable[[Tensor], Tensor]:
    """A function from uint8 [n, 3, h, w] to the log of the power in each band, float64 [n, b + 3].

    The rings, then the places of the grids of two pixels. Under a Hann window, less the mean; one
    grey level's rounding noise is added to the power, so that an even picture has a logarithm.
    """

    def measure(images: Tensor) -> Tensor:
        y = luminance(images)
        h, w = y.shape[1:]
        window = hann(h)[:, None] * hann(w)[None, :]
        level = (y * window).mean((1, 2), keepdim=True) / window.mean()
        power = torch.fft.rfft2((y - level) * window).abs().square().double() / (h * w)
        band, centres = band_of(h, w, bands_per_octave)
        twice = torch.full((w // 2 + 1,), 2.0, dtype=torch.float64)
        twice[0] = 1.0
        if w % 2 == 0:
            twice[-1] = 1.0  # these columns stand for themselves; the others for their mirror too
        weight = twice.expand(h, -1)
        parts = [*(band == j for j in range(len(centres))), *places_of_grids(h, w)]
        means = [(power * weight)[:, part].sum(1) / weight[part].sum() for part in parts]
        return (torch.stack(means, 1) + 1 / 12).log()

    return measure


def nyquist_power(images: Tensor) -> Tensor:
    """Power at the Nyquist frequency and near it, float64 [n, 2, 2]: along rows, then columns.

    The second of each is the mean over half to 7/8 of that frequency. The top sixteenth of the rows
    and the left one of the columns show the background in nearly every picture. A Hann window keeps
    a peak within two places.
    """
    grey = luminance(images)

    def along(lines: Tensor) -> Tensor:
        side = lines.shape[2]
        level = lines.mean(2, keepdim=True)
        power = torch.fft.rfft((lines - level) * torch.hann_window(side)).abs().square()
        mean = power.double().mean(1)
        return torch.stack([mean[:, side // 2], mean[:, side // 4 : side * 7 // 16].mean(1)], 1)

    top, left = (max(1, side // 16) for side in grey.shape[1:])
    return torch.stack([along(grey[:, :top]), along(grey[:, :, :left].mT)], 1)


def nyquist_ratio(images: Tensor, size: int) -> float:
    """1 for white noise, more for a grid of two pixels: the larger of rows and columns."""
    power = in_batches(nyquist_power, images, size).mean(0)
    return float((power[:, 0] / power[:, 1].clamp(min=1e-12)).max())  # of even lines: 0


def expected_largest(real: Tensor, n: int) -> float:
    """The largest departure that n fresh real images show on average, in dB.

    From the spread of the real images' bands [m, b] and how bands go together: the mean of the
    largest of normal deviations with that covariance, from a fixed draw.
    """
    covariance = torch.atleast_2d(real.T.cov()) * (1 / n + 1 / len(real))
    values, vectors = torch.linalg.eigh(covariance)
    unit = torch.randn(FLOOR_DRAWS, len(values), generator=generator(0, "spectrum")).double()
    deviations = unit * values.clamp(min=0).sqrt() @ vectors.T
    return float(TO_DB * deviations.abs().amax(1).mean())


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """`spectrum`: the largest departure of the samples' power from the real images', in dB."""

    bands_per_octave: int

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also each band's departure, the band of the largest, the floor, and Nyquist ratios.

        `floor` is what equal distributions give on average; `nyquist` is 1 for white noise, more
        for a grid of two pixels.
        """
        real, fake = evidence.real, evidence.fake
        if not isinstance(real, Tensor) or real.shape[2:] != fake.shape[2:]:
            # Cycles a pixel mean the same only between images of one size.
            return {"value": math.nan, **evidence.counts(), "extractor": "pixels"}
        measure, size = log_power(self.bands_per_octave), evidence.batch_size
        of_real, of_fake = (in_batches(measure, x, size) for x in (real, fake))
        departure = TO_DB * (of_fake.mean(0) - of_real.mean(0))
        centres = band_of(fake.shape[2], fake.shape[3], self.bands_per_octave)[1]
        names = [*(f"{centre:.4f}" for centre in centres), *GRIDS]
        worst = int(departure.abs().argmax())
        return {
            "value": float(departure[worst].abs()),
            **evidence.counts(),
            "extractor": "pixels",
            "largest_at": names[worst],  # cycles a pixel, or a grid's name
            "by_band_db": {
                name: round(float(d), 3) for name, d in zip(names, departure, strict=True)
            },
            "floor": expected_largest(of_real, len(fake)),
            "nyquist": nyquist_ratio(fake, size),
            "nyquist_of_real": nyquist_ratio(real, size),
        }
