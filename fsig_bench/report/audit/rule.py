"""When does a metric see a fault? A rule that is stated before the numbers are looked at.

The floor is the metric's value on several sets of fresh real images of the same number. A fault is
seen if the value lies beyond the floor's mean, in the direction that the metric calls bad, by more
than a prediction interval for one more such set allows: t * s * sqrt(1 + 1/draws), with s the
floor's standard deviation and t the quantile of Student's distribution with draws - 1 degrees of
freedom at a risk of 5 % for the whole table (Bonferroni: divided by the number of comparisons).
Where a fault is planted in several sets, their mean is compared, with 1/sets in place of the 1. The
spread counts as at least one unit of the last decimal that tables show. By the same measure in the
other direction the metric rewards the fault.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fsig_bench.metrics.cards import MetricCard

RISK = 0.05  # of any false "seen" in a table without faults
Verdict = Literal["seen", "rewarded", "not seen", "no direction"]


@dataclass(frozen=True, kw_only=True)
class Floor:
    """A metric on fresh real images."""

    mean: float
    spread: float  # standard deviation, at least the last decimal that is shown
    draws: int

    @classmethod
    def of(cls, values: Sequence[float], card: MetricCard) -> Floor:
        """From the values of the draws.

        Raises:
            ValueError: fewer than three draws, which give no spread to speak of.
        """
        if len(values) < 3:
            raise ValueError(f"{len(values)} draws of real images; a floor needs at least 3")
        last_decimal = 10.0**-card.decimals / card.factor
        spread = max(statistics.stdev(values), last_decimal)
        return cls(mean=statistics.fmean(values), spread=spread, draws=len(values))

    def deviation(self, value: float, sets: int = 1) -> float:
        """How many prediction standard deviations the mean of some sets lies above the mean."""
        return (value - self.mean) / (self.spread * (1 / sets + 1 / self.draws) ** 0.5)


def critical(draws: int, comparisons: int, *, sides: int) -> float:
    """The deviation beyond which a value differs; `sides` is 2 where both directions are bad."""
    from scipy.stats import t

    return float(t.isf(RISK / comparisons / sides, draws - 1))


def verdict(
    value: float, floor: Floor, card: MetricCard, comparisons: int, sets: int = 1
) -> Verdict:
    """What a metric says of sets with a fault by their mean value, read as papers read it."""
    z = floor.deviation(value, sets)
    if card.claimed == "none":
        return "no direction"
    if card.claimed == "like_real":
        both = critical(floor.draws, comparisons, sides=2)
        return "seen" if abs(z) > both else "not seen"
    worse = z if card.claimed == "lower" else -z
    limit = critical(floor.draws, comparisons, sides=1)
    if worse > limit:
        return "seen"
    return "rewarded" if worse < -limit else "not seen"
