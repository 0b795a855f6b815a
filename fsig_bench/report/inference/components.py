"""How much of a number's variance is the shots', adapting's and drawing's: crossed ANOVA by hand.

A state is one adaptation: shots and seed. The value of a draw from it is

    y[shots, seed, draw] = mean of the target + S[shots] + A[seed] + SA[shots, seed] + D[draw] + E

with independent normal effects. The components are

    shots     variance of S
    adapting  variance of A and SA together: another seed at the same shots
    drawing   variance of D: a draw that moves all states alike
    residual  variance of E: a draw that moves each state in its own way

and their sum is the variance of a single fresh run. The design is balanced, so every component is a
sum of mean squares that is free of bias; it may be negative, and tables then show 0. Mean squares
are pooled over targets, whose variances are taken as equal. A seed or a draw that several targets
share moves all of them alike, so such targets count as one for it. Intervals are generalised
(Weerahandi, JASA 88, 1993): with mean square M of f degrees of freedom, f M / chi-square(f) stands
for its expectation, and the interval holds 95 % of the sum's distribution.

E is independent from state to state: the model has no interaction of the draw with the shots (SD)
or with the seed (AD) alone. Where there are such, with variances v and w, and s sets of shots, a
seeds and d draws, the expected estimates gain

    residual  r = ((s - 1) a v + (a - 1) s w) / (s a - 1)
    shots     v / d
    adapting  (w - r) / d
    drawing   (a v + s w - r) / (s a)

and the interval of the residual counts too many degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fsig_bench.report.inference.intervals import LEVEL

Array: TypeAlias = NDArray[np.float64]
PIVOTS = 20_000  # points of the generalised intervals' distribution


@dataclass(frozen=True, kw_only=True)
class MeanSquare:
    """One line of the analysis of variance; `value` has one entry for each grid."""

    value: Array
    df: int


@dataclass(frozen=True, kw_only=True)
class Component:
    """A variance; each array has one entry for each grid."""

    estimate: Array  # free of bias, so it may be negative
    low: Array  # of the 95 % interval, at least 0
    high: Array
    df: Array  # of the sum of the mean squares that it adds (Satterthwaite), not of the estimate
    df_of: tuple[str, ...]  # these mean squares; those that it subtracts are not counted


def mean_squares(values: Array, shared: Collection[str] = ()) -> dict[str, MeanSquare]:
    """The lines of the split-plot analysis, pooled over targets.

    Args:
        values: [..., targets, subsets, seeds, draws], the same design in each target; leading axes
            are grids of their own.
        shared: of "seeds" and "draws", those whose levels are the same on several targets.

    Returns:
        "shots", "seeds", "states" (shots by seeds), and with two draws or more "draws" and "rest".

    Raises:
        ValueError: fewer than two sets of shots or two seeds.
    """
    targets, s, a, d = values.shape[-4:]
    if s < 2 or a < 2:
        raise ValueError(f"{s} sets of shots by {a} seeds: components need two of each at least")
    grand = values.mean((-3, -2, -1), keepdims=True)
    shots = values.mean((-2, -1), keepdims=True)
    seeds = values.mean((-3, -1), keepdims=True)
    states = values.mean(-1, keepdims=True)
    draws = values.mean((-3, -2), keepdims=True)
    lines = {
        "shots": (shots - grand, a * d, s - 1),
        "seeds": (seeds - grand, s * d, a - 1),
        "states": (states - shots - seeds + grand, d, (s - 1) * (a - 1)),
    }
    if d > 1:
        lines["draws"] = draws - grand, s * a, d - 1
        lines["rest"] = values - states - draws + grand, 1, (s * a - 1) * (d - 1)
    return {
        name: MeanSquare(
            value=times * np.square(effects).sum((-4, -3, -2, -1)) / (targets * df),
            df=df if name in shared else targets * df,
        )
        for name, (effects, times, df) in lines.items()
    }


def weights_of(subsets: int, seeds: int, draws: int) -> dict[str, dict[str, float]]:
    """Each component as weights of the mean squares.

    Their expectations, with e, d, sa, a and s the variances of E, D, SA, A and S, and counts named
    like the arguments:

        rest e;  draws e + subsets seeds d;  states e + draws sa
        seeds e + draws sa + draws subsets a;  shots e + draws sa + draws seeds s
    """
    own = {"shots": {"shots": 1 / (seeds * draws), "states": -1 / (seeds * draws)}}
    within = {"seeds": 1 / (subsets * draws), "states": (subsets - 1) / (subsets * draws)}
    if draws == 1:
        return own | {"adapting and drawing": within}
    places = subsets * seeds
    return own | {
        "adapting": within | {"rest": -1 / draws},
        "drawing": {"draws": 1 / places, "rest": -1 / places},
        "residual": {"rest": 1.0},
    }


def components(
    values: Array, pivots: int = PIVOTS, shared: Collection[str] = ()
) -> dict[str, Component]:
    """The variance components of crossed grids, with 95 % intervals.

    With one draw for each state, "adapting and drawing" cannot be told apart.

    Args:
        values: as `mean_squares` takes them.
        pivots: points of the intervals' distribution.
        shared: as `mean_squares` takes it.
    """
    lines = mean_squares(values, shared)
    return {
        name: _component(weights, lines, pivots=pivots)
        for name, weights in weights_of(*values.shape[-3:]).items()
    }


@cache
def _chi_squares(df: int, place: int, pivots: int) -> Array:
    """A fixed sample, stratified: the same records give the same interval."""
    from scipy import stats

    generator = np.random.default_rng([df, place])
    strata = (generator.permutation(pivots) + 0.5) / pivots
    return np.asarray(stats.chi2.ppf(strata, df))


def _component(
    weights: Mapping[str, float], lines: Mapping[str, MeanSquare], *, pivots: int
) -> Component:
    total = sum(w * lines[name].value for name, w in weights.items())
    standing = sum(
        w * lines[name].df * lines[name].value[..., None] / _chi_squares(lines[name].df, i, pivots)
        for i, (name, w) in enumerate(weights.items())
    )
    sides = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    low, high = np.maximum(np.quantile(standing, sides, axis=-1), 0.0)
    added = tuple(name for name, w in weights.items() if w > 0)
    df = satterthwaite([(weights[n] * lines[n].value, lines[n].df) for n in added])
    return Component(estimate=np.asarray(total), low=low, high=high, df=df, df_of=added)


def satterthwaite(parts: Sequence[tuple[Array, int]]) -> Array:
    """The degrees of freedom of a sum of independent mean squares, each with its own.

    Satterthwaite, Biometrics Bulletin 2, 1946. Where all parts are 0, the smallest of theirs.
    """
    total = np.asarray(sum(value for value, _ in parts))
    spread = np.asarray(sum(np.square(value) / df for value, df in parts))
    least = np.full_like(total, min(df for _, df in parts), dtype=float)
    return np.divide(np.square(total), spread, out=least, where=spread > 0)
