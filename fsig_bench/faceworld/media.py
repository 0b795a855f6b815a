"""The media a portrait can be in: a pencil drawing, an old oil painting, coarse pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fsig_bench.faceworld.canvas import noise_field, shifted, smooth

PAPER = noise_field(512, 256, seed=21)
BRUSH_X, BRUSH_Y = noise_field(512, 64, seed=22), noise_field(512, 64, seed=23)
STROKES = noise_field(512, 128, seed=24)
LUMA = torch.tensor([0.299, 0.587, 0.114])


def blur(x: Tensor, radius: int) -> Tensor:
    """Box blur, [n, c, h, w]."""
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * radius + 1, stride=1)


def pencil(rgb: Tensor, t: Tensor) -> Tensor:
    """Graphite on paper: contours, hatching in the dark parts, grain. [n, 3, h, w] in [0, 1]."""
    size = rgb.shape[-1]
    luma = (rgb * LUMA[:, None, None]).sum(1, keepdim=True)
    contour = (blur(luma, 3) - blur(luma, 1)).clamp(min=0) * 10 + (blur(luma, 1) - luma).abs() * 4
    grain = shifted(PAPER, t[:, 4], t[:, 5], size)[:, None]
    line = torch.arange(size, dtype=torch.float32)
    diagonal = (line[None, :] + line[:, None])[None, None]
    wobble = 5 * shifted(BRUSH_X, t[:, 5], t[:, 6], size)[:, None]
    hatch = 0.5 + 0.5 * torch.sin((diagonal + wobble) * 1.05)
    tone = smooth(0.60 - blur(luma, 1), 0.0, 0.62)
    graphite = 0.95 * contour.clamp(0, 1) + tone * (0.22 + 0.62 * hatch * (0.5 + 0.8 * grain))
    ink = (graphite * (0.72 + 0.5 * grain)).clamp(0, 0.93)
    paper = 0.955 - 0.05 * grain
    tint = 1 - 0.05 * t[:, 7, None, None, None] * torch.tensor([0.0, 0.4, 1.0])[:, None, None]
    return (paper * (1 - ink)).clamp(0, 1) * tint


def paint(rgb: Tensor, t: Tensor) -> Tensor:
    """Oil under varnish: earth palette, brush strokes, vignette, canvas. [n, 3, h, w] in [0, 1]."""
    size = rgb.shape[-1]
    dx = shifted(BRUSH_X, t[:, 4], t[:, 5], size) - 0.5
    dy = shifted(BRUSH_Y, t[:, 5], t[:, 6], size) - 0.5
    line = (torch.arange(size) + 0.5) * (2 / size) - 1
    grid_y, grid_x = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([grid_x + 0.055 * dx, grid_y + 0.055 * dy], -1)
    daubed = F.grid_sample(blur(rgb, 1), grid, padding_mode="border", align_corners=False)
    luma = (daubed * LUMA[:, None, None]).sum(1, keepdim=True)
    muted = luma + 0.58 * (daubed - luma)
    earth = torch.lerp(
        torch.tensor([0.13, 0.085, 0.05])[:, None, None],
        torch.tensor([1.0, 0.90, 0.70])[:, None, None],
        luma,
    )
    colour = torch.lerp(muted, earth, 0.45)
    colour = colour * colour * (3 - 2 * colour) * 0.62 + colour * 0.42  # chiaroscuro
    strokes = shifted(STROKES, t[:, 6], t[:, 7], size)
    relief = (strokes - strokes.roll((1, 1), (1, 2)))[:, None]
    vignette = 1 - 0.55 * smooth((grid_x**2 + (grid_y - 0.1) ** 2).sqrt(), 0.65, 1.35)
    weave = 0.5 + 0.5 * torch.sin(torch.arange(size) * 2.1)
    canvas = 1 + 0.05 * (weave[:, None] * weave[None, :] - 0.25)
    return ((colour + 0.10 * relief) * vignette * canvas).clamp(0, 1)


def pixels(rgb: Tensor, t: Tensor) -> Tensor:
    """32 by 32 squares of five levels a channel. [n, 3, h, w] in [0, 1], h a multiple of 32."""
    side = rgb.shape[-1] // 32
    squares = (F.avg_pool2d(rgb, side) * 4).round() / 4
    return squares.repeat_interleave(side, 2).repeat_interleave(side, 3)
