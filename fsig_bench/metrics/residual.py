"""Are samples clean drawings? The distance to the renderer's drawing of what is read off them.

An image's factors are read and drawn again in the target's style. What the renderer could not have
drawn is left over: checkerboards, blur, broken eyes, melted outlines. Real images leave something
over too, since the reader errs and textures are not read, so a sample's residual counts by where it
lies among theirs. Which faces are drawn does not matter here, only how. This measure is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fsig_bench.api import JsonDict
from fsig_bench.metrics.base import Evidence

Part = Literal["pixels", "perceptual"]
PARTS: tuple[Part, ...] = ("pixels", "perceptual")  # the columns of `redraw_gaps`


def quantile_among(values: Tensor, *, real: Tensor) -> Tensor:
    """The share of the real values [m] that lie below each value, ties by half, float64 [n]."""
    ordered = real.double().sort().values
    x = values.double().contiguous()
    below = torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True)
    return below.double() / (2 * len(ordered))


def compare_residuals(*, real: Tensor, fake: Tensor, limit: float) -> dict[str, float]:
    """How residuals of samples [n] compare with those of real images [m].

    Returns:
        `ratio` of the medians, the `median_quantile` of the samples among the real ones, and the
        share of samples `beyond` the quantile `limit` of the real ones.
    """
    x, y = fake.double(), real.double()
    return {
        "ratio": float(x.quantile(0.5) / y.quantile(0.5)),
        "median_quantile": float(quantile_among(x, real=y).quantile(0.5)),
        "beyond": float((x > y.quantile(limit)).double().mean()),
    }


@dataclass(frozen=True, kw_only=True)
class RenderingResidual:
    """`rendering_residual`: the samples' median residual as a multiple of the real images'.

    It goes on growing where all samples lie beyond all real images, as quantiles do not.
    """

    part: Part  # whose ratio is the value
    limit: float  # the quantile of real residuals beyond which a sample counts as no drawing

    needs: ClassVar[frozenset[str]] = frozenset({"real", "factors", "features", "perceptual"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also, in pixels and in the perceptual network, all of `compare_residuals`."""
        domain = int(evidence.reading("real")[1].argmax(1).mode().values)
        real, fake = (evidence.redraw_gaps(role, domain) for role in ("real", "fake"))
        found: JsonDict = {
            part: compare_residuals(real=real[:, j], fake=fake[:, j], limit=self.limit)
            for j, part in enumerate(PARTS)
        }
        value = found[self.part]["ratio"]
        return {"value": value, **evidence.counts(), "limit": self.limit, **found}
