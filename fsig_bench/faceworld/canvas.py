"""A batched painter's canvas: soft-edged shapes over supersampled pixels.

Shape legend: n images, h, w supersampled pixels. Coordinates: x right, y down, both in [-1, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def smooth(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def hsv(hue: Tensor, saturation: Tensor | float, value: Tensor | float) -> Tensor:
    """Colours [n, 3] in [0, 1] from hue, saturation, value [n]."""
    k = (torch.tensor([5.0, 3.0, 1.0]) + hue[:, None] * 6) % 6
    s, v = (
        torch.as_tensor(a, dtype=torch.float32).expand_as(hue)[:, None] for a in (saturation, value)
    )
    return v - v * s * torch.minimum(k, 4 - k).clamp(0, 1)


def ramp(t: Tensor, stops: list[tuple[float, float, float]]) -> Tensor:
    """Colours [n, 3] at t [n] in [0, 1] along evenly spaced stops."""
    table = torch.tensor(stops)
    x = t.clamp(0, 1) * (len(stops) - 1)
    i = x.long().clamp(max=len(stops) - 2)
    return torch.lerp(table[i], table[i + 1], (x - i)[:, None])


class Canvas:
    """Images under construction, float32 [n, 3, h, w] in [0, 1]."""

    def __init__(self, n: int, size: int) -> None:
        self.size = size
        self.pixel = 2.0 / size
        line = (torch.arange(size) + 0.5) * self.pixel - 1
        self.y, self.x = (
            g[None].expand(n, -1, -1) for g in torch.meshgrid(line, line, indexing="ij")
        )
        self.rgb = torch.zeros(n, 3, size, size)
        self.focus = (1.0, 0.0)

    def rows(self, top: float, bottom: float) -> slice:
        """The pixel rows between two heights: small features paint only their strip."""
        factor, cy = self.focus
        first, last = ((cy + (v - cy) * factor + 1) * self.size / 2 for v in (top, bottom))
        return slice(max(0, int(first)), min(self.size, int(last) + 1))

    def turn(self, angle: Tensor, cx: float, cy: float) -> None:
        """Rotates the coordinates by angle [n] (radians) about (cx, cy)."""
        c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
        dx, dy = self.x - cx, self.y - cy
        self.x, self.y = cx + c * dx + s * dy, cy - s * dx + c * dy

    def zoom(self, factor: float, cx: float, cy: float) -> None:
        """Enlarges what is painted from now on about (cx, cy)."""
        self.x, self.y = cx + (self.x - cx) / factor, cy + (self.y - cy) / factor
        self.pixel, self.focus = self.pixel / factor, (factor, cy)

    def paint(self, mask: Tensor, colour: Tensor, rows: slice = slice(None)) -> None:
        """Lays colour [n, 3] or [n, 3, rows, w] over the rows where mask [n, rows, w] is 1."""
        if colour.ndim == 2:
            colour = colour[:, :, None, None]
        part = self.rgb[:, :, rows]
        part += mask[:, None] * (colour - part)

    def shade(self, mask: Tensor, factor: Tensor | float, rows: slice = slice(None)) -> None:
        """Multiplies by `factor` where mask is 1."""
        self.rgb[:, :, rows] *= (1 + mask * (factor - 1))[:, None]

    def edge(self, inside: Tensor, scale: Tensor | float, blur: float = 1.0) -> Tensor:
        """Coverage from an implicit function (negative inside) whose unit is `scale` long."""
        return (0.5 - inside * (scale / (self.pixel * 1.5 * blur))).clamp(0, 1)

    def ellipse(
        self,
        cx: Tensor | float,
        cy: Tensor | float,
        rx: Tensor | float,
        ry: Tensor | float,
        rows: slice = slice(None),
        blur: float = 1.0,
    ) -> Tensor:
        """Coverage [n, rows, w] of an axis-aligned ellipse; arguments [n, 1, 1] or numbers."""
        u, v = (self.x[:, rows] - cx) / rx, (self.y[:, rows] - cy) / ry
        small = torch.minimum(torch.as_tensor(rx), torch.as_tensor(ry))
        return self.edge((u * u + v * v).sqrt() - 1, small, blur)


@torch.no_grad()
def noise_field(size: int, cells: int, seed: int, stretch: int = 1) -> Tensor:
    """A tileable value-noise picture [size, size] in [0, 1].

    `cells` cells across and `cells / stretch` down, so `stretch` > 1 gives vertical streaks.
    """
    g = torch.Generator().manual_seed(seed)
    grid = torch.rand(1, 1, cells // stretch, cells, generator=g)
    padded = torch.nn.functional.pad(grid, (2, 2, 2, 2), mode="circular")
    scale = (size / (cells // stretch), size / cells)
    shape = tuple(round(s * f) for s, f in zip(padded.shape[2:], scale, strict=True))
    big = torch.nn.functional.interpolate(padded, size=shape, mode="bicubic", align_corners=False)
    top, left = (math.floor(2 * f) for f in scale)
    return big[0, 0, top : top + size, left : left + size].clamp(0, 1)


def shifted(field: Tensor, u: Tensor, v: Tensor, size: int) -> Tensor:
    """[n, size, size]: the field seen from offsets u, v [n] in [0, 1] (wraps around)."""
    m = field.shape[-1]
    line = torch.arange(size)
    rows = ((u * m).long()[:, None] + line) % m
    columns = ((v * m).long()[:, None] + line) % m
    return field[rows[:, :, None], columns[:, None, :]]
