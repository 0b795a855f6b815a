"""Which of the known factors of a target a method's samples cover; suites with factors only."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fsig_bench.api.plain import Record
from fsig_bench.pictures.colours import INK
from fsig_bench.report.figures.style import (
    PAGE,
    drawing_order,
    label_of,
    look,
    new_figure,
    save,
    style,
)
from fsig_bench.report.figures.summaries import cards


def coverage_by_factor(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """By method and factor: coverage in [0, 1], mean over runs; factors in the records' order."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for r in records:
        for factor, value in (
            r["metrics"].get("factor_coverage", {}).get("by_factor") or {}
        ).items():
            found[r["method"]][factor].append(value)
    return {m: {f: statistics.fmean(v) for f, v in by.items()} for m, by in found.items()}


def factor_bars(records: Sequence[Record], stem: Path) -> list[Path]:
    """One target domain: a column of bars per method, a row per factor.

    The ticks are the best control's values: what other images of the target reach.
    """
    found, known = coverage_by_factor(records), cards(records)
    order = drawing_order({m: known[m] for m in found})
    factors = list(dict.fromkeys(f for m in order for f in found[m]))
    controls = [m for m in order if known[m]["kind"] == "control"]
    best = max(controls, key=lambda m: statistics.fmean(found[m].values()), default=None)
    with style():
        figure = new_figure(PAGE, 0.125 * len(factors) + 1.0)
        grid = figure.subplots(1, len(order), sharey=True, squeeze=False)[0]
        rows = range(len(factors))
        for axes, name in zip(grid, order, strict=True):
            values = [found[name].get(f, 0.0) for f in factors]
            axes.barh(rows, values, height=0.72, color=look(name, known[name]).colour)
            if best is not None and name != best:
                ticks = [found[best].get(f, float("nan")) for f in factors]
                axes.plot(ticks, rows, "|", color=INK, ms=4, mew=0.8)
            axes.set_title(
                label_of(known[name]), fontsize=6.5, rotation=35, ha="left", x=0.1, pad=2
            )
            axes.set_xlim(0, 1)
            axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.tick_params(axis="y", length=0)
            axes.grid(False, axis="y")
        grid[0].set_yticks(rows, [f.replace("_", " ") for f in factors])
        grid[0].set_ylim(len(factors) - 0.4, -0.6)
        marked = "" if best is None else f"; tick: {label_of(known[best])}"
        figure.supxlabel(f"factor coverage ↑, {records[0]['dataset']}{marked}", fontsize=7.5)
        return save(figure, stem)
