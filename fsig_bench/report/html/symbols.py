"""Marks of methods on pages: matplotlib's own markers as SVG paths, so pages and figures agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from fsig_bench.api.plain import Record
from fsig_bench.report.figures.style import Look, look

RADIUS = 5.0  # SVG units
CODES = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}  # of matplotlib's Path
POINTS = {3: 2, 4: 3}  # vertices that a code takes, where it is more than one


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """A marker around the origin."""

    name: str  # of its definition on a page
    path: str  # of an SVG path
    filled: bool  # else it is made of strokes


@dataclass(frozen=True, kw_only=True)
class Sign:
    """How a method is drawn on a page."""

    symbol: Symbol
    colour: str
    dash: str  # of an SVG line; "" is unbroken


@cache
def symbol_of(marker: str) -> Symbol:
    """A marker of matplotlib as an SVG path."""
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    size = max(float(abs(path.vertices).max()), 1e-9)
    words, i = [], 0
    codes = path.codes if path.codes is not None else [1] + [2] * (len(path.vertices) - 1)
    while i < len(codes):
        code = int(codes[i])
        count = POINTS.get(code, 1)
        pairs = path.vertices[i : i + count] * (RADIUS / size)
        numbers = " ".join(f"{x:.2f},{-y:.2f}" for x, y in pairs)
        words.append("Z" if code == 79 else f"{CODES[code]}{numbers}")
        i += count
    name = f"mark-{ord(marker[0])}"
    return Symbol(name=name, path="".join(words), filled=style.is_filled())


def sign_of_look(drawn: Look) -> Sign:
    """The sign of a look."""
    dash = " ".join(f"{2 * length:g}" for length in drawn.dash)
    return Sign(symbol=symbol_of(drawn.marker), colour=drawn.colour, dash=dash)


def sign_of(record: Record) -> Sign:
    """The sign of a record's method."""
    return sign_of_look(look(record["method"], record["config"]["method"]["card"]))
