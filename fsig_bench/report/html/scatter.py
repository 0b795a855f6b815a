"""Quality against diversity and against cost, a mark for each method. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.metrics.cards import MetricCard
from fsig_bench.report.figures.summaries import pareto_front, wall_s
from fsig_bench.report.html.axes import Axis, Tick, axis, short_number
from fsig_bench.report.html.rows import Row
from fsig_bench.report.html.symbols import Sign, sign_of
from fsig_bench.report.inference.scores import REAL

LEFT, RIGHT, TOP, BOTTOM = 52.0, 370.0, 10.0, 258.0  # the plane's edges among 380 x 300 units
FEWEST = 2  # marks in a figure


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A value of one method: a mean, its spread, and the runs that it comes from."""

    label: str
    sign: Sign
    control: bool
    real: bool
    href: str
    values: Mapping[str, tuple[float, float | None]]  # quantity -> mean, standard deviation


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A mark on the plane."""

    label: str
    sign: Sign
    control: bool
    href: str
    x: float
    y: float
    across: tuple[float, float] | None  # the spread's ends
    along: tuple[float, float] | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """One figure."""

    title: str
    x_title: str
    y_title: str
    dots: tuple[Dot, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    front: str  # points of an SVG polyline; "" where no direction of x is better
    real: float | None  # SVG units of the value of real images on the x axis
    sentences: tuple[str, ...]


def spot_of(row: Row) -> Spot:
    """A row's numbers and costs."""
    first = row.records[0]
    values: dict[str, tuple[float, float | None]] = {
        n.metric: (n.mean, n.units.std if n.units else None)
        for n in row.numbers
        if n.mean is not None
    }
    known = [r for r in row.records if r.get("nfe_adapt") is not None]
    if known:
        counts = [r["nfe_adapt"] + r["nfe_per_image"] * r["num_images"] for r in known]
        values["evaluations"] = statistics.fmean(counts), None
    values["seconds"] = statistics.fmean(map(wall_s, row.records)), None
    return Spot(
        label=row.method,
        sign=sign_of(first),
        control=row.kind == "control",
        real=first["method"] == REAL,
        href=row.href,
        values=values,
    )


def mean_spots(by_target: Mapping[str, Mapping[str, Spot]]) -> list[Spot]:
    """The mean of each method over the targets, for methods that have all of them."""
    out = []
    for name in dict.fromkeys(name for own in by_target.values() for name in own):
        own = [spots[name] for spots in by_target.values() if name in spots]
        if len(own) < len(by_target):
            continue
        shared = set.intersection(*(set(s.values) for s in own))
        values = {key: (statistics.fmean(s.values[key][0] for s in own), None) for key in shared}
        first = own[0]
        out.append(
            Spot(
                label=first.label,
                sign=first.sign,
                control=first.control,
                real=first.real,
                href="#pivot-title",
                values=values,
            )
        )
    return out


def scatter(
    spots: Sequence[Spot],
    *,
    x: str,
    y: MetricCard,
    y_name: str,
    titles: tuple[str, str],
    better: str,
    where: str,
) -> Scatter | None:
    """One figure; None with fewer than two marks.

    Args:
        spots: of the methods and controls.
        x: the quantity across.
        y: the card of the quality metric.
        y_name: its name.
        titles: of the figure and of the x axis.
        better: of x: lower, higher, like_real or none.
        where: on which targets, in words.
    """
    own = [s for s in spots if x in s.values and y_name in s.values]
    if len(own) < FEWEST:
        return None
    cost = x in ("evaluations", "seconds")
    xs, ys = ([s.values[key][0] for s in own] for key in (x, y_name))
    # Methods set the range: controls may lie orders of magnitude away.
    ranged = [s for s in own if not s.control] or own
    x_range, y_range = ([s.values[key][0] for s in ranged] for key in (x, y_name))
    log = True if cost and any(v > 0 for v in x_range) else None
    across = axis(x_range, start=LEFT, end=RIGHT, log=log)
    upwards = axis(y_range, start=BOTTOM, end=TOP)
    outside = any(not a.holds(v) for a, vs in ((across, xs), (upwards, ys)) for v in vs)
    dots = [
        Dot(
            label=s.label,
            sign=s.sign,
            control=s.control,
            href=s.href,
            x=across.at(s.values[x][0]),
            y=upwards.at(s.values[y_name][0]),
            across=ends(across, *s.values[x]),
            along=ends(upwards, *s.values[y_name]),
            text=f"{s.label}: {y.heading} {number(s.values[y_name][0])}, "
            f"{titles[1].partition(' (')[0]} {number(s.values[x][0])}",
        )
        for s in sorted(own, key=lambda s: not s.control)
    ]
    methods = [(d.x, d.y) for d in dots if not d.control]
    front = ""
    if better in ("lower", "higher") and y.better in ("lower", "higher"):
        front = front_points(methods, x_higher=better == "higher", y_higher=y.better == "higher")
    reals = [s.values[x][0] for s in own if s.real]
    real = next((across.at(v) for v in reals if across.holds(v)), None)
    lacking = sorted(s.label for s in spots if s not in own)
    return Scatter(
        title=titles[0],
        x_title=titles[1],
        y_title=y.title,
        dots=tuple(dots),
        x_ticks=tuple(across.ticks()),
        y_ticks=tuple(upwards.ticks()),
        front=front,
        real=real if better == "like_real" else None,
        sentences=tuple(sentences(y, better=better, where=where, outside=outside, lacking=lacking)),
    )


def number(value: float) -> str:
    """A value in the words of a mark."""
    return f"{value:,.0f}" if abs(value) >= 1000 else short_number(value)


def ends(scale: Axis, mean: float, std: float | None) -> tuple[float, float] | None:
    """Where a standard deviation on both sides ends; None where there is none to see."""
    if not std:
        return None
    return scale.at(mean - std), scale.at(mean + std)


def front_points(places: Sequence[tuple[float, float]], *, x_higher: bool, y_higher: bool) -> str:
    """The methods that no other beats in both, joined by steps that claim nothing between them."""
    flipped = [(x, y if not y_higher else -y) for x, y in places]
    # SVG's y grows downwards: a low value lies at a large y.
    own = [(x, -y) for x, y in flipped]
    found = [places[i] for i in pareto_front(own, x_higher_is_better=x_higher)]
    points: list[tuple[float, float]] = []
    for x, y in found:
        if points:
            last_x, last_y = points[-1]
            points.append((last_x, y) if x_higher else (x, last_y))
        points.append((x, y))
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def sentences(
    y: MetricCard, *, better: str, where: str, outside: bool, lacking: Sequence[str]
) -> list[str]:
    """How to read a figure."""
    side = {"lower": "low", "higher": "high"}.get(y.better, "near real images")
    across = {
        "lower": "on the left",
        "higher": "on the right",
        "like_real": "near the vertical line, where real images lie",
    }.get(better)
    good = f"{side} and {across}" if across else side
    out = [f"{where} A good method lies {good}."]
    if outside:
        out.append("What lies beyond the axes stands on their edge; point at it to see its values.")
    if lacking:
        out.append(f"Without a value: {', '.join(lacking)}.")
    return out
