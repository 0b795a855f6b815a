"""Vendi score: the effective number of unlike samples.

Friedman & Dieng, TMLR 2023, arXiv:2210.02410: exp of the entropy of the eigenvalues of K / n with
the cosine kernel. n orthogonal samples give n, equal samples 1. When there are more images than
dimensions the d x d dual has the same eigenvalues. Depends on n: compare at equal n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fsig_bench.metrics.base import Evidence


def vendi_score(x: Tensor) -> float:
    """The score of features x [n, d]."""
    unit = x.double() / x.double().norm(dim=1, keepdim=True).clamp(min=1e-12)
    small = unit.T @ unit if len(x) > x.shape[1] else unit @ unit.T
    p = torch.linalg.eigvalsh(small / len(x)).clamp(min=0)
    p = p[p > 0]
    return float((-(p * p.log()).sum()).exp())


@dataclass(frozen=True, kw_only=True)
class Vendi:
    """`vendi` of the samples, with the reference's at equal n for scale."""

    needs: ClassVar[frozenset[str]] = frozenset({"features"})

    def __call__(self, evidence: Evidence) -> dict[str, Any]:
        """`real_at_equal_n` is None without a reference of that many images."""
        fake, real = evidence.features("fake"), None
        if evidence.real is not None and len(evidence.real) >= len(fake):
            real = vendi_score(evidence.features("real")[: len(fake)])
        return {"value": vendi_score(fake), **evidence.counts(), "real_at_equal_n": real}
