"""Student's interval and test of a mean, and Holm's correction of a page's tests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

LEVEL = 0.95
RISK = 1 - LEVEL
ROUNDING = 1e-9  # of a mean: values that spread less are the same number

Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean of independent values, with its 95 % interval."""

    mean: float
    low: float | None  # None with a single value
    high: float | None
    p: float | None  # of the mean being 0, two-sided; None with a single value or without spread
    count: int
    std: float | None  # of the values, with n - 1

    @property
    def has_spread(self) -> bool:
        """Whether the values differ by more than rounding, so that they can be tested."""
        return self.std is not None and self.std > ROUNDING * abs(self.mean)


def quantile(df: int) -> float:
    """Student's t of the two-sided 95 % interval."""
    from scipy import stats

    return float(stats.t.ppf(0.5 + LEVEL / 2, df))


def estimate(values: Sequence[float], mean: float | None = None) -> Estimate:
    """Student's interval and test.

    Args:
        values: independent of each other.
        mean: that of all runs, where more runs than these units are averaged; the interval is
            then a little wide. None takes the mean of the values.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    n = len(values)
    centre = statistics.fmean(values) if mean is None else mean
    if n == 1:
        return Estimate(mean=centre, low=None, high=None, p=None, count=1, std=None)
    std = statistics.stdev(values)
    half = quantile(n - 1) * std / math.sqrt(n)
    return Estimate(
        mean=centre,
        low=centre - half,
        high=centre + half,
        p=p_of_mean(centre, std, n),
        count=n,
        std=std,
    )


def p_of_mean(mean: float, std: float, count: int) -> float | None:
    """Of the t test that the mean is 0; None for values that are all the same and not 0.

    Metrics that count samples often have equal values by chance, and a test of values without
    spread would be certain of whatever they are.
    """
    from scipy import stats

    if mean == 0:
        return 1.0
    if std <= ROUNDING * abs(mean):
        return None
    return float(2 * stats.t.sf(abs(mean) * math.sqrt(count) / std, count - 1))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's adjusted p-values: those up to 0.05 hold together with 95 % confidence.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6, 1979. It needs no independence of the tests.

    Raises:
        ValueError: a p-value is NaN.
    """
    if undefined := [key for key, p in p_values.items() if math.isnan(p)]:
        raise ValueError(f"the test of {undefined[0]} has no p-value; leave it out")
    adjusted: dict[Key, float] = {}
    largest, total = 0.0, len(p_values)
    for place, key in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (total - place) * p_values[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p_values}
