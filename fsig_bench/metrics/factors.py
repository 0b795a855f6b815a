"""What only a suite with known factors can tell: coverage, leakage of the source, precision.

Both read the images with the factor reader, fakes and reference alike, so the reader's own errors
enter both sides. These measures are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence

BINS = 10


def overlap(*, real: Tensor, fake: Tensor) -> float:
    """Histogram intersection over the deciles of the real values: 1 same spread, 0 disjoint."""
    r, f = real.double(), fake.double()
    edges = torch.quantile(r, torch.linspace(0, 1, BINS + 1, dtype=torch.float64))
    # Values beyond the real range fall outside every bin: they cover nothing.
    slack = 0.02 * (edges[-1] - edges[0])
    edges[0], edges[-1] = edges[0] - slack, edges[-1] + slack
    share = [
        torch.stack([((x >= a) & (x < b)).double().mean() for a, b in pairwise(edges)])
        for x in (r, f)
    ]
    return float(torch.minimum(*share).sum())


def unrolled(*, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Circular values in [0, 1) turned so that the real ones' circular mean lies at 0.5."""
    angle = 2 * torch.pi * real.double()
    mean = torch.atan2(angle.sin().mean(), angle.cos().mean()) / (2 * torch.pi)
    return (real - mean + 0.5) % 1, (fake - mean + 0.5) % 1


@dataclass(frozen=True, kw_only=True)
class FactorCoverage:
    """`factor_coverage`: mean overlap over the factors that are free in the target."""

    min_sd: float  # a factor is free when the reference's sd passes this share of its range

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs", "factors", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the overlap of each free factor.

        A factor that the target domain does not show, such as the hair colour of a pencil sketch,
        counts for nothing; a hidden value, such as the eyes behind dark glasses, is left out.
        """
        (real, logits), fake = evidence.reading("real"), evidence.reading("fake")[0]
        reader = evidence.extractor
        domain = int(logits.argmax(1).mode().values)
        seen_real, seen_fake = reader.visible(real, domain), reader.visible(fake, domain)
        circular = getattr(reader, "circular_factors", ())
        each = {}
        for j, name in enumerate(reader.factor_names):
            if seen_real[:, j].float().mean() < 0.5:
                continue
            r, f = real[seen_real[:, j], j], fake[seen_fake[:, j], j]
            if name in circular:
                r, f = unrolled(real=r, fake=f)
            if len(r) > 1 and float(r.std()) > self.min_sd:
                each[name] = overlap(real=r, fake=f) if len(f) else 0.0
        value = sum(each.values()) / len(each) if each else float("nan")
        by_factor = {n: round(v, 4) for n, v in each.items()}
        return {"value": value, **evidence.counts(), "by_factor": by_factor}


@dataclass(frozen=True, kw_only=True)
class SourceLeakage:
    """`source_leakage`: share of samples that are read as the source domain."""

    needs: ClassVar[frozenset[str]] = frozenset({"shots", "factors", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the same share of the reference (`floor`) and of the shots, and all readings."""
        names = evidence.extractor.domain_names
        source = names.index(evidence.source_domain)
        guess = evidence.reading("fake")[1].argmax(1)
        floor = None
        if evidence.real is not None:
            floor = float((evidence.reading("real")[1].argmax(1) == source).double().mean())
        shots = float((evidence.reading("shots")[1].argmax(1) == source).double().mean())
        read_as = {name: float((guess == j).double().mean()) for j, name in enumerate(names)}
        return {
            "value": read_as[names[source]],
            **evidence.counts(),
            "floor": floor,
            "shots": shots,
            "read_as": read_as,
        }


@dataclass(frozen=True, kw_only=True)
class RenderedPrecision:
    """`rendered_precision`: share of samples that the renderer itself could have drawn.

    A sample's factors are read and drawn again in the target's style. It counts if it is read as
    the target domain and its LPIPS to the drawing is no larger than `quantile` of real images have.
    """

    quantile: float

    needs: ClassVar[frozenset[str]] = frozenset({"real", "factors", "features", "perceptual"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also the threshold, and the shares that pass each of the two conditions."""
        domain = int(evidence.reading("real")[1].argmax(1).mode().values)
        seen = {role: evidence.redraw_gaps(role, domain)[:, 1] for role in ("real", "fake")}
        threshold = float(torch.quantile(seen["real"], self.quantile))
        drawable = seen["fake"] <= threshold
        read = evidence.reading("fake")[1].argmax(1) == domain
        return {
            "value": float((drawable & read).double().mean()),
            **evidence.counts(),
            "threshold": threshold,
            "drawable": float(drawable.double().mean()),
            "read_as_target": float(read.double().mean()),
        }
