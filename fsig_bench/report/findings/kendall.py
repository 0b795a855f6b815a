"""Kendall's tau-b of two scores over methods, target by target, with a permutation test.

The methods are the same on all targets, so targets are no independent witnesses of an agreement:
a permutation gives every target's methods the same new order. The statistic is the mean tau over
targets, and the test is two-sided. Of a few methods every order is tried; among random orders the
p-value counts the one that was found (Phipson and Smyth, Statistical Applications in Genetics and
Molecular Biology 9, 2010).

Shape legend: t targets, n methods.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
EXACT = 8  # methods whose orders can all be tried: 40,320
PERMUTATIONS = 39_999  # of more methods
SLACK = 1e-4  # between sums that are equal but for rounding


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two scores over the same methods."""

    taus: tuple[float, ...]  # of the targets on which both scores tell some methods apart
    p: float  # of their mean, by permutations of the methods

    @property
    def mean(self) -> float:
        """Over the targets."""
        return statistics.fmean(self.taus)


def orders(scores: Array) -> Array:
    """Of each pair of methods which has more: 1, 0 or -1, [..., n, n] from [..., n]."""
    found: Array = np.sign(scores[..., :, None] - scores[..., None, :])
    return found


def tau_b(a: Array, b: Array) -> Array:
    """Kendall's tau-b from `orders`, [...]; NaN where a side has ties alone."""
    both, one, other = ((x * y).sum((-2, -1)) for x, y in ((a, b), (a, a), (b, b)))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = both / np.sqrt(one * other)
    return found


@cache
def permutations(n: int) -> NDArray[np.intp]:
    """Every order of up to EXACT methods, else the same PERMUTATIONS random ones each time.

    Returns:
        [orders, n].
    """
    if n <= EXACT:
        return np.array(list(itertools.permutations(range(n))), dtype=np.intp)
    order = np.argsort(np.random.default_rng(0).random((PERMUTATIONS, n)), axis=1)
    return order


@cache
def permuted_orders(scores: tuple[tuple[float, ...], ...]) -> NDArray[np.float32]:
    """`orders` of scores [t, n] with the methods permuted, [permutations, t, n * n]."""
    own, moved = orders(np.asarray(scores, float)), permutations(len(scores[0]))
    found = own[:, moved[:, :, None], moved[:, None, :]].swapaxes(0, 1)
    return found.reshape(*found.shape[:2], -1).astype(np.float32)


def agreement(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Agreement | None:
    """How two scores [t, n] agree; None where no target tells methods apart on both sides."""
    a, b = orders(np.asarray(one, float)), orders(np.asarray(other, float))
    taus = tau_b(a, b)
    there = np.isfinite(taus)
    if not there.any():
        return None
    # Ties stay ties under a permutation, so the denominators are those of the order found.
    scale = np.sqrt((a * a).sum((-2, -1)) * (b * b).sum((-2, -1)))[there]
    weights = (a.reshape(len(a), -1)[there] / scale[:, None]).astype(np.float32)
    moved = permuted_orders(tuple(map(tuple, other)))[:, there]
    null = np.einsum("pti,ti->p", moved, weights)
    seen = abs(float(taus[there].sum()))
    extreme = int((np.abs(null) >= seen - SLACK).sum())
    whole = len(null) == math.factorial(len(other[0]))  # these hold the order that was found
    p = extreme / len(null) if whole else (1 + extreme) / (1 + len(null))
    found = tuple(float(tau) for tau in taus[there])
    return Agreement(taus=found, p=p)
