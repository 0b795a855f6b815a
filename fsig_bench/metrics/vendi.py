"""Vendi score: the effective number of unlike samples.

Friedman & Dieng, TMLR 2023, arXiv:2210.02410: exp of the entropy of the eigenvalues of K / n with
the cosine kernel. n orthogonal samples give n, equal samples 1. When there are more images than
dimensions the d x d dual has the same eigenvalues. Depends on n: compare at equal n.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence

BLOCK = 1 << 14  # rows in float64 at a time


def sum_of(parts: Iterable[Tensor]) -> Tensor:
    """The sum of at least one tensor."""
    first, *rest = parts
    for part in rest:
        first += part
    return first


def vendi_score(x: Tensor) -> float:
    """The score of features x [n, d]."""
    parts = x.split(BLOCK) if len(x) > x.shape[1] else (x,)
    units = (y / y.norm(dim=1, keepdim=True).clamp(min=1e-12) for y in (p.double() for p in parts))
    small = sum_of(u.T @ u if len(x) > x.shape[1] else u @ u.T for u in units)
    p = torch.linalg.eigvalsh(small / len(x)).clamp(min=0)
    p = p[p > 0]
    return float((-(p * p.log()).sum()).exp())


@dataclass(frozen=True, kw_only=True)
class Vendi:
    """`vendi` of the samples, with the reference's at equal n for scale."""

    needs: ClassVar[frozenset[str]] = frozenset({"features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """`real_at_equal_n` is None without a reference of that many images."""
        fake, real = evidence.features("fake"), None
        if evidence.real is not None and len(evidence.real) >= len(fake):
            real = vendi_score(evidence.features("real")[: len(fake)])
        return {"value": vendi_score(fake), **evidence.counts(), "real_at_equal_n": real}
