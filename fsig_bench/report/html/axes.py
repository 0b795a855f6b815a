"""Values to places on an SVG plane, and the ticks of its axes. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_TICKS, MOST_TICKS = 3, 7
ROOM = 0.06  # of the span, on both sides
WIDE_SPAN = 8  # a logarithmic axis is used from this ratio of largest to smallest value on


@dataclass(frozen=True, kw_only=True)
class Tick:
    at: float  # SVG units
    text: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """From values to SVG units; `start` belongs to the smallest value."""

    low: float
    high: float
    log: bool
    start: float
    end: float

    def holds(self, value: float) -> bool:
        """Whether a value lies on the axis."""
        return self.low <= value <= self.high

    def at(self, value: float) -> float:
        """Where a value lies; one that the axis does not reach lies at its nearer end."""
        if self.log and value <= 0:
            return self.start
        low, high, own = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = min(max((own - low) / (high - low), 0.0), 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        """Round values, at most MOST_TICKS."""
        found = log_values(self.low, self.high) if self.log else round_values(self.low, self.high)
        return [Tick(at=self.at(v), text=short_number(v)) for v in found]


def axis(values: Sequence[float], *, start: float, end: float, log: bool | None = None) -> Axis:
    """An axis that holds all values with some room.

    Args:
        values: at least one.
        start: SVG units of the smallest value.
        end: SVG units of the largest.
        log: whether it is logarithmic; None decides by the values.
    """
    positive = [v for v in values if v > 0]
    low, high = min(values), max(values)
    if log is None:
        log = low > 0 and high / low >= WIDE_SPAN
    if log and positive:
        low = min(positive)
        high = max(high, low * 1.0001)
        room = (high / low) ** ROOM * 1.05
        return Axis(low=low / room, high=high * room, log=True, start=start, end=end)
    span = high - low or abs(high) or 1.0
    return Axis(low=low - ROOM * span, high=high + ROOM * span, log=False, start=start, end=end)


def round_values(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / (MOST_TICKS - 2)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step) + 1)]


def log_values(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, or the powers alone, or some of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
        if len(found) <= MOST_TICKS:
            break
    if len(found) < FEWEST_TICKS:
        return [v for v in round_values(low, high) if v > 0]
    step = -(-len(found) // MOST_TICKS)
    return found[::step]


def short_number(value: float) -> str:
    """10k for 10,000; as few digits as the value needs."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            unit = 1e3 if letter == "k" else size
            return f"{value / unit:.3g}{letter}"
    return f"{0.0 if abs(value) < 1e-12 else value:.4g}"
