"""Does a ranking by mean rank hold on new shots? By simulation, since it has no closed form.

On each target one new set of shots is drawn, with an adaptation and a draw of its own, and methods
are ranked again by what they score on it. With the scores of n known sets of shots as rows of a
matrix, their deviations from its mean row as rows d_i, normal numbers g_i and a chi-square c of
n - 1 degrees of freedom, the new row is

    mean of all runs + sqrt(1 + 1/n) * sum of g_i d_i / sqrt(c)

so that every method, and every difference of two, has Student's predictive distribution, with n - 1
degrees of freedom and the deviations that were seen: for two methods on one target this is
`flip_probability`. Methods that were run on the same sets of shots move together, as the d_i say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fsig_bench.report.inference.intervals import ROUNDING
from fsig_bench.report.inference.scores import Runs
from fsig_bench.report.inference.units import units_of

Array: TypeAlias = NDArray[np.float64]
FEWEST = 2  # methods that can be ranked; they have one place to change
DRAWS = 10_000  # a probability of one half is then known to 0.005
SEED = 0  # of pages, so that the same records give the same page


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What one new set of shots on each target does to a ranking. A tie is an order of its own."""

    first: float  # the probability that the first place is lost, shared, or no longer shared
    order: float  # the probability that the order of all is another one
    methods: int
    targets: int

    @property
    def text(self) -> str:
        """In one sentence."""
        where = f" on each of {self.targets} targets" if self.targets > 1 else ""
        text = (
            f"On one new set of shots{where} the first place by mean rank changes with probability "
            f"{probability_text(self.first)}"
        )
        if self.methods > FEWEST:
            order = probability_text(self.order)
            text += f", and the order of all {self.methods} methods with {order}"
        return f"{text} (simulated; a tie is another order)."


def probability_text(value: float) -> str:
    """Two decimals; nothing that is simulated is said to be impossible or sure."""
    if value < 0.005:
        return "less than 0.01"
    return "more than 0.99" if value >= 0.995 else f"{value:.2f}"


def order_changes(
    runs: Mapping[str, Mapping[str, Runs]],
    *,
    lower_is_better: bool,
    generator: np.random.Generator,
    draws: int = DRAWS,
) -> Changes | None:
    """How probable a change of the order by mean rank is.

    Args:
        runs: method -> target -> scores, on the same targets for each of two methods or more.
        lower_is_better: of the scores.
        generator: of the simulated scores.
        draws: how many rankings are simulated.

    Returns:
        None where a method has fewer than two sets of shots on a target.
    """
    names = sorted(runs)
    targets = sorted(runs[names[0]])
    places = [[runs[name][target] for name in names] for target in targets]
    moves = [moves_on_new_shots(own, generator=generator, draws=draws) for own in places]
    known = [move for move in moves if move is not None]
    if not known or len(known) < len(moves):
        return None
    means = np.array([[units_of(own).mean for own in place] for place in places])
    sign = 1.0 if lower_is_better else -1.0
    seen = rank_sums(sign * means[None])
    new = rank_sums(sign * (means + np.stack(known, axis=1)))
    firsts = [sums == sums.min(axis=-1, keepdims=True) for sums in (new, seen)]
    orders = [ordered(sums) for sums in (new, seen)]
    return Changes(
        first=float(np.mean((firsts[0] != firsts[1]).any(axis=-1))),
        order=float(np.mean((orders[0] != orders[1]).any(axis=-1))),
        methods=len(names),
        targets=len(targets),
    )


def moves_on_new_shots(
    runs: Sequence[Runs], *, generator: np.random.Generator, draws: int
) -> Array | None:
    """How far the methods' scores on one new set of shots are from their means, on one target.

    Args:
        runs: of each method.
        generator: of the simulated scores.
        draws: how many there are.

    Returns:
        [draws, methods]. Methods that have two sets of shots in common move together over these;
        otherwise each moves over its own. None where one has fewer than two.
    """
    shared = set.intersection(*(set(own) for own in runs))
    common = [units_of({c: own[c] for c in shared}) for own in runs] if shared else []
    if common and common[0].axis == "subset":
        values = np.array([units.values for units in common]).T
        return moved(values, generator=generator, draws=draws)
    apart = [units_of(own) for own in runs]
    if any(units.axis != "subset" for units in apart):
        return None
    columns = [np.array(units.values)[:, None] for units in apart]
    return np.hstack([moved(column, generator=generator, draws=draws) for column in columns])


def moved(values: Array, *, generator: np.random.Generator, draws: int) -> Array:
    """Deviations of a new row from the mean of the known ones.

    Args:
        values: [rows, columns], two rows at least.
        generator: of what is drawn.
        draws: how many new rows there are.

    Returns:
        [draws, columns]; the form is that of the module's docstring.
    """
    n = len(values)
    weights = generator.standard_normal((draws, n))
    scale = math.sqrt(1 + 1 / n) / np.sqrt(generator.chisquare(n - 1, (draws, 1)))
    return np.asarray(scale * (weights @ (values - values.mean(axis=0))), dtype=np.float64)


def rank_sums(scores: Array) -> Array:
    """[..., targets, methods] -> [..., methods]: ranks summed over targets."""
    return np.asarray(ordered(scores).sum(axis=-2), dtype=np.float64)


def ordered(scores: Array) -> Array:
    """Ranks from 1 along the last axis, lowest first; equal scores share their mean rank.

    Scores that differ by rounding are equal. The ranks are whole or half numbers, so that their
    sums have no rounding.
    """
    close = ROUNDING * np.abs(scores).max(axis=-1, keepdims=True)
    found = np.full(scores.shape, 0.5)
    for other in range(scores.shape[-1]):  # itself too, which counts one half
        above = scores - scores[..., other : other + 1]
        found += (above > close) + 0.5 * (np.abs(above) <= close)
    return found
