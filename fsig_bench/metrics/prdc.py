"""Precision, recall, density and coverage.

Kynkaanniemi et al., NeurIPS 2019, arXiv:1904.06991; Naeem et al., ICML 2020, arXiv:2002.09797.
A ball around each image reaches its k-th nearest neighbour in its own set (itself not counted);
inside means distance <= radius, as in torch-fidelity, or < with `ties="outside"`, as in prdc: it
matters where images repeat, and distances so near a radius are exact. Precision: fakes inside some
real ball. Recall: reals inside some fake ball. Density: real balls a fake lies in, over k (can pass
1). Coverage: real balls that hold a fake. A collapsed cloud has high precision and low recall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence
from fsig_bench.metrics.blocks import block_of, distances_about, radii

Ties = Literal["inside", "outside"]


def prdc(*, real: Tensor, fake: Tensor, k: int, ties: Ties = "inside") -> dict[str, float]:
    """The four values for features real [m, d], fake [n, d].

    Raises:
        ValueError: a set has k or fewer images, or values are not finite.
    """
    for role, x in (("real", real), ("fake", fake)):
        if len(x) <= k:
            raise ValueError(f"{role} has {len(x)} images; k={k} neighbours need at least {k + 1}")
        if not torch.isfinite(x).all():
            raise ValueError(f"{role} features hold NaN or infinity")
    x, y = real.double(), fake.double()
    real_radii, fake_radii = radii(x, k), radii(y, k)
    in_real = torch.zeros(len(y), dtype=torch.float64)  # real balls around each fake
    recalled = torch.zeros(len(x), dtype=torch.bool)
    covered = torch.zeros(len(x), dtype=torch.bool)
    block = block_of(len(y))
    within = torch.le if ties == "inside" else torch.lt
    for start in range(0, len(x), block):
        rows = slice(start, start + block)
        d = distances_about(x[rows], y, real_radii[rows, None], fake_radii[None, :])
        inside = within(d, real_radii[rows, None])
        in_real += inside.sum(0)
        covered[rows] = inside.any(1)
        recalled[rows] = within(d, fake_radii[None, :]).any(1)
    return {
        "precision": float((in_real > 0).double().mean()),
        "recall": float(recalled.double().mean()),
        "density": float(in_real.mean() / k),
        "coverage": float(covered.double().mean()),
    }


@dataclass(frozen=True, kw_only=True)
class PRDC:
    """One of the four; they share one computation."""

    which: str
    k: int
    ties: Ties = "inside"  # the reference holds the shots: a copied one lies on its ball's edge

    needs: ClassVar[frozenset[str]] = frozenset({"real", "features", "neighbours"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also k."""

        def compute() -> dict[str, float]:
            real, fake = evidence.features("real"), evidence.features("fake")
            return prdc(real=real, fake=fake, k=self.k, ties=self.ties)

        values = evidence.memoised(f"prdc/{self.k}/{self.ties}", compute)
        return {"value": values[self.which], **evidence.counts(), "k": self.k}
