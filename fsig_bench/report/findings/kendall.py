"""Kendall's tau-b of two scores over methods, target by target, with a permutation test.

The methods are the same on all targets, so targets are no independent witnesses of an agreement:
a permutation gives every target's methods the same new order. The statistic is the mean tau over
targets, and the test is two-sided. Of a few methods every order is tried; among random orders the
p-value counts the one that was found (Phipson and Smyth, Statistical Applications in Genetics and
Molecular Biology 9, 2010).

Shape legend: t targets, n methods, m orders that are tried.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = Sequence[Sequence[float]]  # [t][n]
Moves: TypeAlias = NDArray[np.intp]  # [m, n]
EXACT = 8  # methods whose orders can all be tried: 40,320
PERMUTATIONS = 100_000  # of more methods
CHUNK = 512  # orders that are held in memory at once
SLACK = 1e-4  # between sums that are equal but for rounding


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two scores over the same methods."""

    by_target: tuple[float | None, ...]  # None where a score tells no methods apart
    p: float  # of the mean tau, by permutations of the methods
    least_p: float  # the smallest p that any order of the methods has

    @property
    def taus(self) -> tuple[float, ...]:
        """Of the targets on which both scores tell some methods apart."""
        return tuple(tau for tau in self.by_target if tau is not None)

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


def permutations(n: int, rng: np.random.Generator) -> Moves:
    """Every order of up to EXACT methods, else PERMUTATIONS random ones.

    Returns:
        [m, n].
    """
    if n <= EXACT:
        return np.array(list(itertools.permutations(range(n))), dtype=np.intp)
    order = np.argsort(rng.random((PERMUTATIONS, n)), axis=1)
    return order


def agreements_with(many: Sequence[Scores], other: Scores, moves: Moves) -> list[Agreement | None]:
    """How each of many scores agrees with one other.

    Args:
        many: of the same methods on the same targets as `other`.
        other: the score whose methods are permuted.
        moves: the orders that are tried, see `permutations`.

    Returns:
        None in the place of a score that shares no target on which both tell methods apart.
    """
    b = orders(np.asarray(other, float))
    sides = [orders(np.asarray(one, float)) for one in many]
    taus = [tau_b(a, b) for a in sides]
    weights = np.stack(
        [_weights(a, b, np.isfinite(tau)) for a, tau in zip(sides, taus, strict=True)]
    )
    null = _sums(b, weights, moves)
    whole = len(moves) == math.factorial(b.shape[-1])  # these hold the order that was found
    return [_judged(tau, null[:, i], whole=whole) for i, tau in enumerate(taus)]


def agreement(one: Scores, other: Scores, moves: Moves) -> Agreement | None:
    """How two scores agree; None where no target tells methods apart on both sides."""
    return agreements_with([one], other, moves)[0]


def _weights(a: Array, b: Array, there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What each pair of methods adds to the sum of taus, for each unit of `b`, [t, pairs]."""
    first, second = np.triu_indices(a.shape[-1], 1)
    # Ties stay ties under a permutation, so the denominators are those of the order found.
    scale = np.sqrt((a * a).sum((-2, -1)) * (b * b).sum((-2, -1)))
    found = np.zeros((len(a), len(first)), dtype=np.float32)
    found[there] = 2 * a[there][:, first, second] / scale[there, None]
    return found


def _sums(b: Array, weights: NDArray[np.float32], moves: Moves) -> NDArray[np.float32]:
    """The sum of taus over targets of each score with each permuted order, [m, scores]."""
    n = b.shape[-1]
    first, second = np.triu_indices(n, 1)
    own = b.reshape(len(b), -1).astype(np.float32)
    found = np.zeros((len(moves), len(weights)), dtype=np.float32)
    for start in range(0, len(moves), CHUNK):
        some = moves[start : start + CHUNK]
        places = some[:, first] * n + some[:, second]
        for target, flat in enumerate(own):
            found[start : start + CHUNK] += flat.take(places) @ weights[:, target].T
    return found


def _judged(taus: Array, null: NDArray[np.float32], *, whole: bool) -> Agreement | None:
    there = np.isfinite(taus)
    if not there.any():
        return None
    sizes = np.abs(null)
    extreme = int((sizes >= abs(float(taus[there].sum())) - SLACK).sum())
    most = int((sizes >= sizes.max() - SLACK).sum())
    m = len(null)
    return Agreement(
        by_target=tuple(float(tau) if math.isfinite(tau) else None for tau in taus),
        p=extreme / m if whole else (1 + extreme) / (1 + m),
        least_p=most / m if whole else 1 / (1 + m),
    )
