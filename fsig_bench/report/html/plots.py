"""Numbers to what a page draws: adaptation curves and the points of the t-SNE plot. Pure."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fsig_bench.api.plain import Json
from fsig_bench.pictures.tsne import ORDER

WIDTH, HEIGHT = 300, 130  # a curve's plane, in SVG units
MAX_POINTS = 300  # points a curve
PLOT_WIDTH, MAX_HEIGHT, MARGIN = 640, 620, 16  # the t-SNE plot: width, most height, around it
SHOWN = {"source": 60, "target": 60, "generated": 100, "shots": 100}  # at most, by role
COUNTERS = ("done", "total")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One logged value over the steps of an adaptation."""

    name: str
    points: str  # of an SVG polyline in a WIDTH x HEIGHT plane
    x_max: float
    low: float
    high: float
    last: float
    log: bool


@dataclass(frozen=True, kw_only=True)
class Point:
    """One image in the t-SNE plane; `tile` is its place on its role's sheet."""

    role: str
    index: int
    x: float
    y: float
    tile: int | None


def make_curves(points: Sequence[Json]) -> list[Curve]:
    """The curves of the points of a curve.jsonl; values that are not finite are left out."""
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for entry in points:
        if not _finite(entry.get("done")):
            continue
        for name, value in entry.items():
            if name not in COUNTERS and _finite(value):
                series[name].append((float(entry["done"]), float(value)))
    return [make_curve(name, pairs) for name, pairs in series.items() if len(pairs) > 1]


def _finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def make_curve(name: str, pairs: Sequence[tuple[float, float]]) -> Curve:
    """Scaled to the plane; logarithmic where positive values span more than two decades."""
    step = -(-len(pairs) // MAX_POINTS)
    thinned = sorted({*pairs[::step], pairs[-1]})
    values = [v for _, v in thinned]
    low, high = min(values), max(values)
    log = low > 0 and high / low > 100
    scale = math.log if log else float
    bottom, span = scale(low), scale(high) - scale(low) or 1.0
    x_max = max(x for x, _ in thinned) or 1.0
    points = " ".join(
        f"{x / x_max * WIDTH:.1f},{HEIGHT - (scale(v) - bottom) / span * HEIGHT:.1f}"
        for x, v in thinned
    )
    last = pairs[-1][1]
    return Curve(name=name, points=points, x_max=x_max, low=low, high=high, last=last, log=log)


def read_points(text: str) -> list[Point]:
    """Points of a tsne.csv, at most SHOWN of each role.

    Empty where the file does not say which image a point is (it was written before the column
    `index`), or is damaged.
    """
    found: dict[str, list[Point]] = defaultdict(list)
    try:
        for line in csv.DictReader(text.splitlines()):
            x, y, role = float(line["x"]), float(line["y"]), line["role"]
            found[role].append(Point(role=role, index=int(line["index"]), x=x, y=y, tile=None))
    except (KeyError, TypeError, ValueError):
        return []
    if not set(found) <= set(ORDER):
        return []
    # Only the first samples have an image on the sheet.
    found["generated"] = [p for p in found["generated"] if p.index < SHOWN["generated"]]
    return [point for role in ORDER for point in found[role][: SHOWN[role]]]


def fit_to_plane(points: Sequence[Point]) -> tuple[list[Point], int]:
    """Scaled to a plane PLOT_WIDTH wide with one factor for both axes, and the plane's height."""
    xs, ys = [p.x for p in points], [p.y for p in points]
    wide, high = max(xs) - min(xs) or 1.0, max(ys) - min(ys) or 1.0
    factor = min((PLOT_WIDTH - 2 * MARGIN) / wide, (MAX_HEIGHT - 2 * MARGIN) / high)
    left, height = (PLOT_WIDTH - wide * factor) / 2, high * factor + 2 * MARGIN
    moved = [
        replace(
            p,
            x=round(left + (p.x - min(xs)) * factor, 1),
            y=round(height - MARGIN - (p.y - min(ys)) * factor, 1),
        )
        for p in points
    ]
    return moved, round(height)
