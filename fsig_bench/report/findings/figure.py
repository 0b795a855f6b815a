"""Tau of every metric with every truth, in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.api.files import write_whole
from fsig_bench.pictures.colours import INK
from fsig_bench.report.figures.style import MARKERS, PAGE, PALETTE, new_figure
from fsig_bench.report.figures.style import style as paper_style
from fsig_bench.report.findings.agreement import Line
from fsig_bench.report.findings.grid import Reading

APART = 0.22  # of a row, between the truths


def draw_agreement(path: Path, lines: Sequence[Line]) -> Path:
    """Writes the figure as SVG: filled marks hold after the correction.

    Args:
        path: where it goes.
        lines: in the order of the table.
    """
    rows = list(dict.fromkeys(line.reading for line in lines))
    truths = list(dict.fromkeys(line.truth for line in lines))
    place: dict[Reading, int] = {reading: n for n, reading in enumerate(rows)}
    with paper_style():
        figure = new_figure(PAGE, 0.6 + 0.24 * len(rows))
        axes = figure.subplots()
        axes.axvline(0, color=INK, lw=0.6)
        for n, truth in enumerate(truths):
            own = [line for line in lines if line.truth == truth]
            shift = APART * (n - (len(truths) - 1) / 2)
            for first, line in enumerate(own):
                taus, y = line.found.taus, place[line.reading] + shift
                colour = PALETTE[n % len(PALETTE)]
                axes.plot([min(taus), max(taus)], [y, y], color=colour, lw=0.8)
                axes.plot(
                    [line.found.mean],
                    [y],
                    marker=MARKERS[n % len(MARKERS)],
                    color=colour,
                    mfc=colour if line.holds else "white",
                    ms=3.5,
                    ls="",
                    label=truth if first == 0 else None,
                )
        axes.set_yticks(range(len(rows)), [reading.heading for reading in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(-1.02, 1.02)
        axes.set_xlabel("Kendall's tau, mean over targets")
        figure.legend(loc="outside upper center", ncols=len(truths), frameon=False)
        metadata = {"Date": None, "Creator": None}
        write_whole(path, lambda p: figure.savefig(p, format="svg", metadata=metadata))
    return path
