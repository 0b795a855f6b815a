"""A search space from words of the command line; pure, and free of Optuna.

    method.lr=log(1e-5,1e-3)              a real number, uniform in its logarithm
    method.l=lin(0,1)                     a real number, uniform
    method.iterations=50:400:50           a whole number, ends included; the step may be left out
    method.sample.kind=[ddim,ancestral]   one of these
    method/objective=[paper,code]         one of a group's presets

A real range of a setting that is a whole number in conf/ becomes one of whole numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from fsig_bench.api.plain import Json

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
REAL = re.compile(rf"(log|lin)\(\s*({NUMBER})\s*,\s*({NUMBER})\s*\)")
WHOLE = re.compile(r"([+-]?\d+):([+-]?\d+)(?::(\d+))?")
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
        if self.kind == "choice":
            return f"[{','.join(self.choices)}]"
        if self.kind == "real" or self.log:
            return f"{'log' if self.log else 'lin'}({self.low},{self.high})"
        return f"{self.low}:{self.high}:{self.step}"

    def text(self, value: Value) -> str:
        """A value as one would type it; reals are rounded to `DIGITS` digits, inside the ends."""
        if self.kind != "real":
            return str(value)
        return repr(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))


def split_list(text: str) -> tuple[str, ...]:
    """The parts of "[a,[b,c],'d,e']" between its outermost commas.

    Raises:
        ValueError: brackets or quotes are not closed.
    """
    parts, depth, quote, part = [], 0, "", ""
    for letter in text[1:-1]:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        if depth < 0:
            break
        if letter == "," and not depth and not quote:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    if depth or quote:
        raise ValueError(f"{text}: a bracket or quote is not closed")
    return (*parts, part.strip())


def parse(word: str) -> Dimension | None:
    """The dimension that a key=value word spans; None where it is an ordinary override.

    Raises:
        ValueError: it looks like a range and is none, or the setting is not the method's.
    """
    key, _, value = word.partition("=")
    listed = value.startswith("[") and value.endswith("]")
    if value.startswith(("log(", "lin(")):
        if not (found := REAL.fullmatch(value)):
            raise ValueError(f"{word}: write {value[:3]}(LOW,HIGH), two numbers")
        low, high = float(found[2]), float(found[3])
        made = Dimension(key=key, kind="real", low=low, high=high, log=found[1] == "log")
        if made.log and low <= 0:
            raise ValueError(f"{word}: a logarithmic range starts above 0, and {found[2]} does not")
    elif found := WHOLE.fullmatch(value):
        low, high, step = int(found[1]), int(found[2]), int(found[3] or 1)
        if step < 1:
            raise ValueError(f"{word}: the step is at least 1")
        high = low + (high - low) // step * step
        made = Dimension(key=key, kind="whole", low=low, high=high, step=step)
    elif listed and key.startswith(("method.", "method/")):
        made = Dimension(key=key, kind="choice", choices=split_list(value))
        if "" in made.choices or len(set(made.choices)) < len(made.choices):
            raise ValueError(f"{word}: give different choices, none of them empty")
    else:
        return None
    if made.kind != "choice" and made.low >= made.high:
        raise ValueError(f"{word}: the range is empty; its first end must be the lower one")
    if not key.startswith(("method.", "method/")):
        raise ValueError(
            f"{word}: only settings of the method are searched (method.*); dataset, k, seed "
            "and the rest say what is compared, so give one value of each"
        )
    return made


def fitted(dimension: Dimension, present: object) -> Dimension:
    """The dimension as the setting's present value asks for it: whole numbers stay whole.

    Raises:
        ValueError: fractions for a whole number, words for a number, or single values for a list.
    """
    d = dimension
    if isinstance(present, int | float) and not isinstance(present, bool):
        if strange := [c for c in d.choices if c != "null" and not re.fullmatch(NUMBER, c)]:
            raise ValueError(f"{d.key}={strange[0]}: it is a number now ({present}); give numbers")
    if isinstance(present, list) and not all(c.startswith("[") for c in d.choices or "-"):
        raise ValueError(
            f"{d.key} is a list ({present}): give lists to choose from, "
            f"as in {d.key}=[[...],[...]]; a single one stands in double brackets"
        )
    if d.kind == "real" and isinstance(present, int) and not isinstance(present, bool):
        if d.low != int(d.low) or d.high != int(d.high):
            raise ValueError(f"{d.key}={present} is a whole number: give whole numbers as ends")
        return replace(d, kind="whole", low=int(d.low), high=int(d.high))
    return d


def texts(space: Sequence[Dimension], point: Point) -> dict[str, str]:
    """A point as overrides: key -> value as typed."""
    return {d.key: d.text(point[d.key]) for d in space}


def probes(space: Sequence[Dimension]) -> list[dict[str, str]]:
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


def present_point(space: Sequence[Dimension], present: Json) -> Point | None:
    """The settings as they are without a search, where they lie in the space."""
    point: dict[str, Value] = {}
    for d in space:
        value: Any = present.get(d.key)
        if d.kind == "choice":
            value = {None: "null", True: "true", False: "false"}.get(value, str(value))
            inside = value in d.choices
        else:
            # A string may be a reference to another setting.
            number = None if isinstance(value, bool | str) else value
            inside = number is not None and d.low <= number <= d.high
            inside = inside and (d.kind == "real" or number in d.values)
        if not inside:
            return None
        point[d.key] = value
    return point
