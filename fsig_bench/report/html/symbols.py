"""Marks of methods on pages: matplotlib's own markers as SVG paths, so pages and figures agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from fsig_bench.api.plain import Record
from fsig_bench.report.figures.style import look

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

    method: str  # its name
    symbol: Symbol
    colour: str
    dash: str  # of an SVG line; "" is unbroken


@cache
def symbol_of(marker: str) -> Symbol:
    """A marker of matplotlib as an SVG path."""
    import numpy as np
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    places = np.asarray(path.vertices, dtype=np.float64)
    places = places * (RADIUS / max(float(np.abs(places).max()), 1e-9)) * (1, -1)
    line = [1] + [2] * (len(places) - 1)
    codes = line if path.codes is None else np.asarray(path.codes).astype(int).tolist()
    words, i = [], 0
    while i < len(codes):
        count = POINTS.get(codes[i], 1)
        numbers = " ".join(f"{x:.2f},{y:.2f}" for x, y in places[i : i + count])
        words.append("Z" if codes[i] == 79 else f"{CODES[codes[i]]}{numbers}")
        i += count
    name = f"mark-{ord(marker[0])}"
    return Symbol(name=name, path="".join(words), filled=style.is_filled())


def sign_of(record: Record) -> Sign:
    """The sign of a record's method."""
    method = record["method"]
    drawn = look(method, record["config"]["method"]["card"])
    dash = " ".join(f"{2 * length:g}" for length in drawn.dash)
    return Sign(method=method, symbol=symbol_of(drawn.marker), colour=drawn.colour, dash=dash)
