"""Intra-LPIPS cluster by cluster, and how evenly samples spread over the shots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_card
from fsig_bench.pictures.colours import INK
from fsig_bench.report.figures.style import (
    COLUMN,
    drawing_order,
    label_of,
    look,
    new_figure,
    save,
    style,
)
from fsig_bench.report.figures.summaries import cards

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 16


def cluster_values(
    records: Sequence[Record],
) -> dict[str, tuple[list[float], list[float], int]]:
    """By method: (Intra-LPIPS by cluster, sizes in % of the samples, empty clusters), all runs."""
    means: dict[str, list[float]] = defaultdict(list)
    sizes: dict[str, list[float]] = defaultdict(list)
    empty: dict[str, int] = defaultdict(int)
    for r in records:
        found = r["metrics"].get("intra_lpips", {})
        if not found.get("cluster_sizes"):
            continue
        total = sum(found["cluster_sizes"])
        sizes[r["method"]] += [100 * n / total for n in found["cluster_sizes"]]
        # A cluster of fewer than two samples has no pair and no mean: it counts as empty.
        means[r["method"]] += [v for v in found["cluster_means"].values() if v is not None]
        empty[r["method"]] += found["empty_clusters"]
    return {m: (means[m], sizes[m], empty[m]) for m in sorted(sizes)}


def draw_histogram(axes: Axes, sizes: Sequence[float], top: float, row: int, colour: str) -> None:
    """Counts in BINS bins of [0, top], standing on the line of a row."""
    import numpy as np

    counts, edges = np.histogram(sizes, bins=BINS, range=(0, top))
    heights = 0.85 * counts / max(counts.max(), 1)
    axes.stairs(row + 0.42 - heights, edges, baseline=row + 0.42, fill=True, color=colour, lw=0)
    axes.axhline(row + 0.42, color="#bbbbbb", lw=0.4)


def cluster_figure(records: Sequence[Record], stem: Path) -> list[Path]:
    """One target domain: left, a dot per cluster and the mean; right, the sizes' histogram."""
    found, known = cluster_values(records), cards(records)
    order = drawing_order({m: known[m] for m in found})
    top = max(s for _, sizes, _ in found.values() for s in sizes)
    with style():
        figure = new_figure(COLUMN, 0.24 * len(order) + 0.75)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
        for row, name in enumerate(order):
            means, sizes, empty = found[name]
            drawn = look(name, known[name])
            left.plot(means, [row] * len(means), "o", color=drawn.colour, ms=3, mew=0, alpha=0.45)
            if means:
                left.plot(sum(means) / len(means), row, "|", color=INK, ms=9, mew=1.3)
            draw_histogram(right, sizes, top, row, drawn.colour)
            if empty:
                where = {"ha": "right", "va": "center", "fontsize": 6}
                box = {"fc": "white", "ec": "none", "pad": 0.6}
                right.text(top, row - 0.2, f"{empty} empty", bbox=box, **where)
        left.set_yticks(range(len(order)), [label_of(known[m]) for m in order])
        left.set_ylim(len(order) - 0.4, -0.6)
        left.tick_params(axis="y", length=0)
        right.tick_params(axis="y", length=0)
        right.grid(False, axis="y")
        k = records[0]["k"]
        right.axvline(100 / k, color=INK, lw=0.7, ls=(0, (2, 2)))
        right.set_xlim(0, top)
        left.set_xlabel(f"{metric_card('intra_lpips', records).title} by cluster")
        right.set_xlabel("cluster size, %")
        left.set_title(str(records[0]["dataset"]), loc="left")
        return save(figure, stem)
