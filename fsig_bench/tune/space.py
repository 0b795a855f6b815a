"""A search space: the dimensions of a study and the points in it; pure, and free of Optuna.

A real range of a setting that is a whole number in conf/ becomes one of whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from fsig_bench.api.plain import Json

DIGITS = 4  # of a real setting: short enough to type, and what is run is what is printed

Value = float | str  # a number, or a choice as typed
Point = Mapping[str, Value]  # by key


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One setting that is searched."""

    key: str
    kind: Literal["real", "whole", "choice"]
    low: float = 0  # with real and whole, both ends included
    high: float = 0
    step: int = 1  # with whole
    log: bool = False
    choices: tuple[str, ...] = ()  # as typed

    @property
    def count(self) -> int | None:
        """How many values there are; None: a continuum."""
        if self.kind == "real":
            return None
        return len(self.choices) or int(self.high - self.low) // self.step + 1

    @property
    def values(self) -> tuple[Value, ...]:
        """All values, or the ends of a continuum."""
        if self.kind == "real":
            return (self.low, self.high)
        return self.choices or tuple(range(int(self.low), int(self.high) + 1, self.step))

    @property
    def ends(self) -> tuple[Value, ...]:
        """What to try before any work: every choice, or both ends."""
        return self.choices or (self.values[0], self.values[-1])

    def __str__(self) -> str:
        """As one would type it; see `fsig_bench.tune.ranges`."""
        if self.kind == "choice":
            listed = ",".join(self.choices)
            return listed if "null" in self.choices else f"choice({listed})"
        if self.kind == "real":
            span = f"interval({self.low},{self.high})"
        else:
            step = f",{self.step}" if self.step > 1 else ""
            span = f"range({self.low},{int(self.high) + 1}{step})"
        return f"tag(log,{span})" if self.log else span

    def text(self, value: Value) -> str:
        """A value as one would type it; reals are rounded to `DIGITS` digits, inside the ends."""
        if self.kind != "real":
            return str(value)
        return repr(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))


def fit_to_setting(dimension: Dimension, present: object) -> Dimension:
    """The dimension as the setting's present value asks for it: whole numbers stay whole.

    Raises:
        ValueError: fractions for a whole number, words for a number, or single values for a list.
    """
    d = dimension
    if isinstance(present, int | float) and not isinstance(present, bool):
        if strange := [c for c in d.choices if c != "null" and not _is_number(c)]:
            raise ValueError(f"{d.key}={strange[0]}: it is a number now ({present}); give numbers")
    if isinstance(present, list) and not all(c.startswith("[") for c in d.choices or "-"):
        raise ValueError(
            f"{d.key} is a list ({present}): give lists to choose from, "
            f"as in {d.key}=choice([...],[...])"
        )
    if d.kind == "real" and isinstance(present, int) and not isinstance(present, bool):
        if d.low != int(d.low) or d.high != int(d.high):
            raise ValueError(f"{d.key}={present} is a whole number: give whole numbers as ends")
        return replace(d, kind="whole", low=int(d.low), high=int(d.high))
    return d


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def typed_values(space: Sequence[Dimension], point: Point) -> dict[str, str]:
    """A point as overrides: key -> value as typed."""
    return {d.key: d.text(point[d.key]) for d in space}


def end_points(space: Sequence[Dimension]) -> list[dict[str, str]]:
    """Points that show every end and every choice at least once, as overrides."""
    width = max((len(d.ends) for d in space), default=0)
    return [{d.key: d.text(d.ends[min(n, len(d.ends) - 1)]) for d in space} for n in range(width)]


def whole_grid(space: Sequence[Dimension], at_most: int) -> list[dict[str, Value]] | None:
    """Every point of a space with no more than `at_most`; None for larger ones."""
    total = 1
    for d in space:
        if d.count is None or (total := total * d.count) > at_most:
            return None
    return [dict(zip([d.key for d in space], p, strict=True)) for p in product(*_values(space))]


def _values(space: Sequence[Dimension]) -> list[tuple[Value, ...]]:
    return [d.values for d in space]


def choice_of(value: object, choices: Sequence[str]) -> str | None:
    """The choice that means a setting's value, numbers by their size; None: there is none."""
    if value is None or isinstance(value, bool):
        text = "null" if value is None else str(value).lower()
    elif isinstance(value, int | float):
        return next((c for c in choices if _is_number(c) and float(c) == value), None)
    else:
        text = str(value)
    return text if text in choices else None


def present_point(space: Sequence[Dimension], present: Json) -> Point | None:
    """The settings as they are without a search, where they lie in the space."""
    point: dict[str, Value] = {}
    for d in space:
        value: Any = present.get(d.key)
        if d.kind == "choice":
            value = choice_of(value, d.choices)
            inside = value is not None
        else:
            # A string may be a reference to another setting.
            number = None if isinstance(value, bool | str) else value
            inside = number is not None and d.low <= number <= d.high
            inside = inside and (d.kind == "real" or number in d.values)
        if not inside:
            return None
        point[d.key] = value
    return point
