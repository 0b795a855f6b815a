"""How far a number may lie from the one that is computed here. Pure.

Two machines add in another order, so equal samples give numbers that differ in the last digits.
docs/leaderboard.md says how large such differences were. A number agrees where it differs by at
most RELATIVE of it plus half a unit of the last digit that tables print: a reader of the tables
then sees the same number, or its neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fsig_bench.api.plain import Json
from fsig_bench.metrics.cards import MetricCard

RELATIVE = 1e-3


def tolerance(here: float, card: MetricCard) -> float:
    """The largest difference that counts as rounding.

    Args:
        here: the value that is computed here, in the metric's own unit.
        card: of the metric: its printed decimals, and the factor before printing.
    """
    return RELATIVE * abs(here) + 0.5 * 10.0**-card.decimals / abs(card.factor)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A metric as it was handed in, and as it is computed here."""

    metric: str
    claimed: float | None
    here: float | None
    allowed: float
    reason: str  # why they do not agree; "" where they do

    @property
    def difference(self) -> float:
        """How far the two are apart; 0 where both have no value."""
        if self.claimed is None or self.here is None:
            return 0.0
        return abs(self.claimed - self.here)


def compare(name: str, claimed: Json, here: Json, card: MetricCard) -> Compared:
    """One metric of a record beside what its samples give here.

    Args:
        name: of the metric.
        claimed: what the record holds: value, n_real, n_fake, extractor.
        here: what `runner.score` gives.
        card: of the metric.
    """
    a, b = claimed.get("value"), here.get("value")
    allowed = 0.0 if b is None else tolerance(b, card)
    reason = ""
    for field in ("extractor", "n_real", "n_fake"):
        if claimed.get(field) != here.get(field):
            reason = f"{field} is {claimed.get(field)} in the record and {here.get(field)} here"
    if (a is None) != (b is None):
        reason = f"the record has {as_text(a)}, and the samples give {as_text(b)} here"
    elif a is not None and b is not None and not abs(a - b) <= allowed:
        reason = (
            f"the record has {as_text(a)}, and the samples give {as_text(b)} here: they differ by "
            f"{abs(a - b):.3g}, and {allowed:.3g} is allowed"
        )
    return Compared(metric=name, claimed=a, here=b, allowed=allowed, reason=reason)


def as_text(value: float | None) -> str:
    """A number in full, or that there is none."""
    if value is None:
        return "no value"
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def compare_all(claimed: Json, here: Json, cards: Mapping[str, MetricCard]) -> list[Compared]:
    """Every metric that is computed here, in order."""
    return [compare(name, claimed[name], here[name], cards[name]) for name in here]
