"""What new shots would do: does an order hold, and how many sets of shots does a claim need?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fsig_bench.report.inference.intervals import RISK, estimate

POWER = 0.8
MOST_UNITS = 10_000  # beyond it a claim is out of reach


def flip_probability(
    differences: Sequence[float], *, new: int = 1, mean: float | None = None
) -> float | None:
    """The probability that two methods change order on new sets of shots.

    The mean of m new differences less that of the n known ones, over s sqrt(1/m + 1/n), has
    Student's distribution with n - 1 degrees of freedom (normal differences); the probability is
    that of a new mean on the other side of 0. No difference at all flips with probability 1/2.

    Args:
        differences: of two methods, one for each set of shots.
        new: how many new sets of shots are averaged; papers report one.
        mean: the difference that is reported, where it is not the mean of `differences`.

    Returns:
        None with fewer than two sets of shots, or where all differences are the same number.
    """
    from scipy import stats

    found = estimate(differences, mean)
    if found.std is None:
        return None
    if found.mean == 0:
        return 0.5
    if not found.has_spread:
        return None
    scale = found.std * math.sqrt(1 / new + 1 / found.count)
    return float(stats.t.sf(abs(found.mean) / scale, found.count - 1))


def power_of(effect: float, count: int, risk: float = RISK) -> float:
    """The power of the two-sided paired t test.

    Args:
        effect: mean difference over the standard deviation of the differences.
        count: of pairs, at least two.
        risk: the largest p-value that counts.
    """
    from scipy import stats

    df = count - 1
    limit = float(stats.t.isf(risk / 2, df))
    moved = abs(effect) * math.sqrt(count)
    if moved > limit + 10:  # scipy's non-central t is not meant for tails like these
        return 1.0
    beyond = float(stats.nct.sf(limit, df, moved))
    return beyond + float(stats.nct.cdf(-limit, df, moved))


def subsets_needed(
    differences: Sequence[float], *, mean: float | None = None, risk: float = RISK
) -> int | None:
    """How many sets of shots the paired t test needs for power 0.8.

    These differences are taken as typical: their mean (or `mean`, where another is reported) and
    deviation as the true ones.

    Args:
        differences: of two methods, one for each set of shots.
        mean: as for `flip_probability`.
        risk: the largest p-value that counts; RISK / m where a page corrects m tests.

    Returns:
        None with fewer than two sets of shots, without a difference, where all differences are the
        same number, or beyond MOST_UNITS.
    """
    found = estimate(differences, mean) if differences else None
    if found is None or found.std is None or found.mean == 0 or not found.has_spread:
        return None
    effect = found.mean / found.std
    low, high = 1, 2  # power is too low at `low`, which one pair always is
    while power_of(effect, high, risk) < POWER:
        low, high = high, 2 * high
        if low >= MOST_UNITS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(effect, middle, risk) >= POWER else (middle, high)
    return high
