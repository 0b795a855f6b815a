"""Hair behind and in front of the face, and beards."""

from __future__ import annotations

import torch
from torch import Tensor

from fsig_bench.faceworld.canvas import Canvas, smooth
from fsig_bench.faceworld.head import Head


def hair_behind(c: Canvas, h: Head, strands: Tensor) -> None:
    """What falls behind the face, down to the shoulders when long."""
    q = h.q
    rx = h.rx + 0.03 + 0.17 * q["hair_volume"] * (0.3 + 0.7 * q["hair_length"])
    top = h.up + 0.07 + 0.15 * q["hair_volume"]
    u, v = c.x / rx, (c.y - h.cy) / top
    crown = c.edge((u * u + v * v).sqrt() - 1, rx) * c.edge(c.y - h.cy, 1.0)
    low = h.eye_y + 0.02 + 1.05 * q["hair_length"]
    wide = rx * (1 + 0.22 * q["hair_length"] * ((c.y - h.cy) / 0.9).clamp(0, 1))
    fall = (
        c.edge(c.x.abs() - wide, 1.0)
        * c.edge(c.y - low + 0.25 * u * u, 1.0, 2.0)
        * c.edge(h.cy - c.y, 1.0)
    )
    alpha = smooth(q["hair_length"] + 0.3 * (1 - q["baby"]), 0.0, 0.15)
    mask = torch.maximum(crown, fall) * alpha
    c.paint(mask, h.hair[:, :, None, None] * (0.55 + 0.35 * strands)[:, None])


def beard(c: Canvas, h: Head, mask: Tensor, strands: Tensor) -> None:
    """Along the jaw and around the mouth."""
    q, rows = h.q, c.rows(0.1, 1.0)
    x, y = c.x[:, rows] - h.shift * 0.6, c.y[:, rows]
    line = h.nose_y + 0.06 - 0.30 * smooth(x.abs() / h.rx, 0.55, 1.0)
    alpha = (
        q["beard"] * smooth(y - line, 0.0, 0.08) * mask[:, rows] * (0.75 + 0.25 * strands[:, rows])
    )
    c.paint(alpha * 0.95, h.hair[:, :, None, None] * (0.5 + 0.4 * strands[:, rows])[:, None], rows)


def hair_in_front(c: Canvas, h: Head, strands: Tensor) -> None:
    """The cap of hair above the hairline."""
    q, rows = h.q, c.rows(-1.0, 0.5)
    x, y = c.x[:, rows], c.y[:, rows]
    rx, top = h.rx + 0.03 + 0.05 * q["hair_volume"], h.up + 0.05 + 0.13 * q["hair_volume"]
    u, v = x / rx, (y - h.cy) / top
    cap = c.edge((u * u + v * v).sqrt() - 1, rx)
    middle = h.cy - h.up * (0.80 - 0.36 * q["fringe"])
    part = (x - 0.25 * h.rx - 0.03 * q["yaw"]) / h.rx
    line = (
        middle + (0.30 + 0.2 * q["hair_length"]) * part.abs() ** 3 + 0.02 * (strands[:, rows] - 0.5)
    )
    alpha = smooth(q["hair_length"] + 0.3 * (1 - q["baby"]), -0.06, 0.15)
    lit = 0.70 + 0.45 * strands[:, rows] + 0.20 * u * q["light_x"] + 0.12 * smooth(-v, 0.5, 0.9)
    c.paint(
        cap * c.edge(y - line, 1.0, 1.5) * alpha,
        (h.hair[:, :, None, None] * lit[:, None]).clamp(0, 1),
        rows,
    )
