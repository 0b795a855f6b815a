"""From (domain, split, indices) to images: draw the factors, paint, apply the medium, shrink."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fsig_bench.faceworld.cat import cat
from fsig_bench.faceworld.domains import DOMAINS, draw
from fsig_bench.faceworld.factors import FACTORS, Table
from fsig_bench.faceworld.human import portrait
from fsig_bench.faceworld.media import paint, pencil, pixels

RESOLUTION = 64
SUPERSAMPLING = 2  # pixels per output pixel and axis, on top of soft edges
CHUNK = 16  # images at a time: planes stay in the cache
MEDIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pencil": pencil,
    "paint": paint,
    "pixels": pixels,
}


@torch.no_grad()
def paint_factors(table: Tensor, texture: Tensor, *, creature: str, medium: str) -> Tensor:
    """uint8 [n, 3, 64, 64] from factors [n, f] and texture uniforms [n, 8]."""
    p = {name: table[:, j] for j, name in enumerate(FACTORS)}
    painter = cat if creature == "cat" else portrait
    large = painter(p, texture, RESOLUTION * SUPERSAMPLING)
    if medium in MEDIA:
        large = MEDIA[medium](large, texture)
    small = F.avg_pool2d(large, SUPERSAMPLING)
    return (small * 255).round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def render(domain: str, split: str, indices: Sequence[int]) -> tuple[Tensor, Table, list[str]]:
    """Images uint8 [n, 3, 64, 64], factors [n, f] and the domain that each image shows."""
    table, texture, shown = draw(domain, split, indices)
    out = torch.empty(len(table), 3, RESOLUTION, RESOLUTION, dtype=torch.uint8)
    kinds = [(DOMAINS[s].creature, DOMAINS[s].medium) for s in shown]
    for creature, medium in dict.fromkeys(kinds):
        rows = [r for r, kind in enumerate(kinds) if kind == (creature, medium)]
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            out[part] = paint_factors(
                torch.from_numpy(table[part]),
                torch.from_numpy(texture[part]),
                creature=creature,
                medium=medium,
            )
    return out, table, shown
