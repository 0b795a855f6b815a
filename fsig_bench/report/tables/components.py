"""The variance components of records with a crossed part, as a Markdown table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_cards
from fsig_bench.report.inference.components import Component
from fsig_bench.report.inference.crossing import Pooled, pooled_components
from fsig_bench.report.inference.ranks import labels_of
from fsig_bench.report.inference.scores import scores_of
from fsig_bench.report.inference.sentences import listed
from fsig_bench.report.tables.markdown import line_text

NAMES = ("shots", "adapting", "drawing", "residual")
NAMES_OF_ONE_DRAW = ("shots", "adapting and drawing")
INTRODUCTION = (
    "Where the chance comes from: standard deviations by axis, from {}, pooled over targets as if "
    "they were the same on each, with 95 % intervals. The degrees of freedom (df) are those of the "
    "mean squares (MS) that an estimate adds up; what it subtracts is not in them."
)
UNSEEN = "below detection"  # where even the upper end of the interval is no variance
UNSEEN_MEANING = f" {UNSEEN.capitalize()}: the upper end of the interval is 0 or less."
MEANING: Mapping[tuple[str, ...], str] = {
    NAMES: "Shots: another subset; adapting: another seed at the same shots; drawing: a draw that "
    "moves all states alike; residual: a draw that moves each state in its own way.",
    NAMES_OF_ONE_DRAW: "Each state was drawn from once: adapting and drawing are not told apart.",
}


def deviation(component: Component, decimals: int) -> str:
    """Standard deviation, its 95 % interval, and the degrees of freedom of what it adds up."""
    if float(component.high) <= 0:
        return UNSEEN
    estimate, low, high = (
        math.sqrt(max(float(v), 0.0)) for v in (component.estimate, component.low, component.high)
    )
    df = f"df of MS {listed(component.df_of)} {float(component.df):.0f}"
    return f"{estimate:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f}; {df})"


def component_rows(records: Sequence[Record]) -> dict[str, list[tuple[str, str, Pooled, int]]]:
    """By the design in words: metric, method, components and decimals of each method."""
    found: dict[str, list[tuple[str, str, Pooled, int]]] = {}
    for metric, card in metric_cards(records).items():
        if card.is_p_value:
            continue
        scores = scores_of(records, metric)
        for method, label in labels_of(records).items():
            by_target = {t: runs for (m, t), runs in scores.values.items() if m == method}
            pooled = pooled_components(by_target)
            if pooled is None:
                continue
            subsets, seeds, draws = pooled.shape
            targets = ", ".join(pooled.targets)
            design = f"{subsets} sets of shots x {seeds} seeds x {draws} draws on {targets}"
            if pooled.shared:
                design += f" (which share {listed(pooled.shared)})"
            found.setdefault(design, []).append((card.heading, label, pooled, card.decimals))
    return found


def component_lines(records: Sequence[Record]) -> list[str]:
    """A paragraph and a table for each design; [] where nothing is crossed.

    Args:
        records: of one suite, protocol, number of shots and of samples, each method under one
            setting.
    """
    out = []
    for design, rows in sorted(component_rows(records).items()):
        names = NAMES if rows[0][2].shape[2] > 1 else NAMES_OF_ONE_DRAW
        lines = [["metric", "method", *names]]
        for heading, label, pooled, decimals in rows:
            parts = [deviation(pooled.components[name], decimals) for name in names]
            lines.append([line_text(heading), line_text(label), *parts])
        unseen = UNSEEN_MEANING if any(UNSEEN in line for line in lines) else ""
        out.append(line_text(f"{INTRODUCTION.format(design)} {MEANING[names]}{unseen}"))
        head, *body = (f"| {' | '.join(line)} |" for line in lines)
        out.append("\n".join([head, "|---|---|" + "--:|" * len(names), *body]))
    return out
