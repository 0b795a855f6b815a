"""Metrics against the number of shots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import added_metrics, metric_card
from fsig_bench.report.figures.style import (
    PAGE,
    draw_curve,
    drawing_order,
    look,
    method_legend,
    new_figure,
    save,
)
from fsig_bench.report.figures.style import style as paper_style
from fsig_bench.report.figures.summaries import cards, metric, units

METRICS = ("fd", "intra_lpips")  # and any that conf/protocol/ours.yaml does not have


def shots_curves(records: Sequence[Record], stem: Path) -> list[Path]:
    """A column per target domain, a row per metric.

    Bars are standard deviations of the units; a single unit has none.
    """
    known, metrics = cards(records), (*METRICS, *added_metrics(records))
    datasets = sorted({r["dataset"] for r in records})
    ks = sorted({r["k"] for r in records})
    with paper_style():
        figure = new_figure(PAGE, 1.5 * len(metrics) + 0.55)
        grid = figure.subplots(
            len(metrics), len(datasets), squeeze=False, sharex=True, sharey="row"
        )
        for row, name in zip(grid, metrics, strict=True):
            value = metric(name)
            for axes, dataset in zip(row, datasets, strict=True):
                for method in reversed(drawing_order(known)):
                    own = [r for r in records if (r["method"], r["dataset"]) == (method, dataset)]
                    at = {k: [r for r in own if r["k"] == k and value(r) is not None] for k in ks}
                    line = [(k, units(runs, value)) for k, runs in at.items() if runs]
                    if not line:
                        continue
                    draw_curve(axes, line, look(method, known[method]))
                axes.set_xscale("log")
                axes.set_xticks(ks, [str(k) for k in ks])
                axes.minorticks_off()
                if name == "fd":
                    axes.set_yscale("log")
                    axes.set_title(dataset)
            row[0].set_ylabel(metric_card(name, records).title)
        for axes in grid[-1]:
            axes.set_xlabel("shots k")
        method_legend(figure, known, 6, lines=True)
        return save(figure, stem)
