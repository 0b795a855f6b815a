"""Trade-offs: distance to the target against diversity, and against cost. A panel per target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsig_bench.api.plain import Json, Record
from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.figures.style import (
    COLUMN,
    EDGE,
    PAGE,
    drawing_order,
    look,
    method_legend,
    new_figure,
    save,
    style,
)
from fsig_bench.report.figures.summaries import Value, cards, metric, pairs, pareto_front, wall_s
from fsig_bench.report.inference.units import Units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


def draw_front(
    axes: Axes, points: Mapping[str, tuple[Units, Units]], x_higher_is_better: bool
) -> None:
    """The boundary of what the methods reach: nothing is claimed between two of them."""
    means = [(x.mean, y.mean) for x, y in points.values()]
    front = [means[i] for i in pareto_front(means, x_higher_is_better=x_higher_is_better)]
    if front:
        where: Literal["pre", "post"] = "pre" if x_higher_is_better else "post"
        axes.step(
            *zip(*front, strict=True),
            where=where,
            color="#555555",
            lw=0.8,
            ls=(0, (4, 2)),
            zorder=1,
        )


def limits(values: Sequence[float], log: bool) -> tuple[float, float]:
    """An axis that holds the values with some room on both sides."""
    if log:
        low, high = min(values), max(values)
        room = 1.35 * (high / low) ** 0.06
        return low / room, high * room
    low, high = min(0.0, *values), max(values)
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def draw_points(
    axes: Axes,
    points: Mapping[str, tuple[Units, Units]],
    known: Mapping[str, Json],
    units: tuple[str, str],
) -> None:
    """A marker per method at the means over runs, with standard deviations of the units as bars.

    A control beyond the axes is drawn on their edge, with its value next to it.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for name in reversed(drawing_order({m: known[m] for m in points})):
        x, y = points[name]
        drawn = look(name, known[name])
        at = min(max(x.mean, left), right), min(max(y.mean, bottom), top)
        inside = at == (x.mean, y.mean)
        axes.errorbar(
            *at,
            xerr=(x.std or None) if inside else None,
            yerr=(y.std or None) if inside else None,
            fmt=drawn.marker,
            color=drawn.colour,
            mec=drawn.colour if drawn.control else EDGE,
            mew=0.9 if drawn.control else 0.4,
            elinewidth=0.7,
            zorder=4 if not inside else 2 if drawn.control else 3,
            clip_on=inside,
        )
        if not inside:
            beyond = [
                f"{v.mean:.{3 if v.mean >= 100 else 2}g}{unit}"
                for v, a, unit in zip((x, y), at, units, strict=True)
                if v.mean != a
            ]
            offset = (6, -6) if at[1] == top else (5, 3)
            words: dict[str, Any] = {"xytext": offset, "textcoords": "offset points", "fontsize": 6}
            axes.annotate("; ".join(beyond), at, color=drawn.colour, **words)


def trade_off(
    records: Sequence[Record],
    stem: Path,
    *,
    x: Value,
    y: Value,
    labels: tuple[str, str],
    x_higher_is_better: bool | None,
    log_x: bool,
) -> list[Path]:
    """One panel per target domain, methods in colour, controls in grey, the methods' front.

    All panels have the same axes. The methods and what is near them set the range: the controls
    may lie orders of magnitude away. There is no front where no direction of x is better (None).
    """
    found, known = pairs(records, x, y), cards(records)
    columns = min(3, len(found))
    rows = math.ceil(len(found) / columns)
    width = COLUMN if columns == 1 else PAGE
    both = [p for by in found.values() for m, p in by.items() if known[m]["kind"] != "control"]
    both = both or [p for by in found.values() for p in by.values()]
    with style():
        figure = new_figure(width, 1.75 * rows + (0.9 if columns == 1 else 0.55))
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        grid[0, 0].set_yscale("log")
        grid[0, 0].set_xscale("log" if log_x else "linear")
        grid[0, 0].set_xlim(limits([p[0].mean for p in both], log_x))
        grid[0, 0].set_ylim(limits([p[1].mean for p in both], True))
        for n, (axes, (dataset, points)) in enumerate(zip(grid.flat, found.items(), strict=False)):
            own = {m: p for m, p in points.items() if known[m]["kind"] != "control"}
            if x_higher_is_better is not None:
                draw_front(axes, own, x_higher_is_better)
            draw_points(axes, points, known, (" s" if log_x else "", ""))
            axes.set_title(dataset)
            plain_log_ticks(axes.yaxis)
            if log_x:
                plain_log_ticks(axes.xaxis)
            if n % columns == 0:
                axes.set_ylabel(labels[1])
            if n + columns >= len(found):
                axes.set_xlabel(labels[0])
                axes.tick_params(labelbottom=True)
        for axes in list(grid.flat)[len(found) :]:
            axes.set_axis_off()
        shown = {m: known[m] for by in found.values() for m in by}
        method_legend(figure, shown, 3 if columns == 1 else 6)
        return save(figure, stem)


def plain_log_ticks(axis: Axis) -> None:
    """10, 20, 50, 100 in place of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def quality_against(name: str, records: Sequence[Record], stem: Path) -> list[Path]:
    """Frechet distance against another metric."""
    card = metric_card(name, records)
    return trade_off(
        records,
        stem,
        x=metric(name),
        y=metric("fd"),
        labels=(card.title, metric_card("fd", records).title),
        x_higher_is_better={"↑": True, "↓": False}.get(card.arrow),
        log_x=False,
    )


def quality_cost(records: Sequence[Record], stem: Path) -> list[Path]:
    """Frechet distance against the seconds of adapting and sampling."""
    count = records[0]["num_images"]
    return trade_off(
        records,
        stem,
        x=wall_s,
        y=metric("fd"),
        labels=(f"time to adapt and draw {count} images, s ↓", metric_card("fd", records).title),
        x_higher_is_better=False,
        log_x=True,
    )
