"""Trade-offs: distance to the target against diversity, and against cost. A panel per target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.figures import INK
from fsig_bench.figures.style import (
    COLUMN,
    PAGE,
    drawing_order,
    look,
    method_legend,
    new_figure,
    save,
    style,
)
from fsig_bench.figures.summaries import (
    Record,
    Spread,
    Value,
    cards,
    heading,
    metric,
    pairs,
    pareto_front,
    wall_s,
)


def draw_front(
    axes: Any, points: Mapping[str, tuple[Spread, Spread]], x_higher_is_better: bool
) -> None:
    """The boundary of what the methods reach: nothing is claimed between two of them."""
    means = [(x.mean, y.mean) for x, y in points.values()]
    front = [means[i] for i in pareto_front(means, x_higher_is_better=x_higher_is_better)]
    if front:
        where = "pre" if x_higher_is_better else "post"
        axes.step(*zip(*front, strict=True), where=where, color=INK, lw=0.8, ls=(0, (4, 2)))


def draw_points(
    axes: Any,
    points: Mapping[str, tuple[Spread, Spread]],
    known: Mapping[str, Mapping[str, Any]],
) -> None:
    """A marker per method at the means over runs, with standard deviations as bars."""
    for name in reversed(drawing_order({m: known[m] for m in points})):
        x, y = points[name]
        drawn = look(name, known[name]["kind"])
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=x.sd or None,
            yerr=y.sd or None,
            fmt=drawn.marker,
            color=drawn.colour,
            mec=drawn.colour if drawn.control else "white",
            mew=0.9 if drawn.control else 0.4,
            elinewidth=0.7,
            zorder=2 if drawn.control else 3,
        )


def trade_off(
    records: Sequence[Record],
    stem: Path,
    *,
    x: Value,
    y: Value,
    labels: tuple[str, str],
    x_higher_is_better: bool,
    log_x: bool,
) -> list[Path]:
    """One panel per target domain, methods in colour, controls in grey, the methods' front."""
    found, known = pairs(records, x, y), cards(records)
    columns = min(3, len(found))
    rows = math.ceil(len(found) / columns)
    width = COLUMN if columns == 1 else PAGE
    with style():
        figure = new_figure(width, 1.75 * rows + 0.55)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, (dataset, points) in zip(grid.flat, found.items(), strict=False):
            own = {m: p for m, p in points.items() if known[m]["kind"] != "control"}
            draw_front(axes, own, x_higher_is_better)
            draw_points(axes, points, known)
            axes.set_title(dataset)
            axes.set_yscale("log")
            if log_x:
                axes.set_xscale("log")
        for axes in list(grid.flat)[len(found) :]:
            axes.set_axis_off()
        figure.supxlabel(labels[0], fontsize=7.5)
        figure.supylabel(labels[1], fontsize=7.5)
        shown = {m: known[m] for by in found.values() for m in by}
        method_legend(figure, shown, 3 if columns == 1 else 6)
        return save(figure, stem)


def quality_diversity(records: Sequence[Record], stem: Path) -> list[Path]:
    """Frechet distance against Intra-LPIPS."""
    return trade_off(
        records,
        stem,
        x=metric("intra_lpips"),
        y=metric("fd"),
        labels=(heading("intra_lpips"), heading("fd")),
        x_higher_is_better=True,
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
        labels=(f"wall time to adapt and to draw {count} images, s ↓", heading("fd")),
        x_higher_is_better=False,
        log_x=True,
    )
