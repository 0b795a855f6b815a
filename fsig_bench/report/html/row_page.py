"""The page of a row: few runs as columns, many as dots on a line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.cards import MetricCard
from fsig_bench.report.html.axes import Axis
from fsig_bench.report.html.links import run_label, run_page
from fsig_bench.report.html.rows import Row

MOST_COLUMNS = 4  # runs that have a column each
LEFT, RIGHT = 6.0, 214.0  # SVG units of a line's ends


@dataclass(frozen=True, kw_only=True)
class RunDot:
    """One run's value on a metric's line."""

    x: float
    href: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A metric's values over many runs."""

    lowest: str
    highest: str
    dots: tuple[RunDot, ...]


def spread_of(row: Row, metric: str, card: MetricCard) -> Spread | None:
    """The values of all runs on one line; None where none has one."""
    own = [(r, r["metrics"].get(metric, {}).get("value")) for r in row.records]
    found = [(r, v) for r, v in own if v is not None]
    if not found:
        return None
    values = [v for _, v in found]
    low, high = min(values), max(values)
    line = Axis(low=low, high=high if high > low else low + 1.0, log=False, start=LEFT, end=RIGHT)
    return Spread(
        lowest=card.text(low),
        highest=card.text(high),
        dots=tuple(
            RunDot(
                x=line.at(v),
                href=f"{run_page(r)}#m-{metric}",
                text=f"{run_label(r)}: {card.text(v)}",
            )
            for r, v in found
        ),
    )


def row_page_values(row: Row, cards: Mapping[str, MetricCard]) -> JsonDict:
    """All that the template of a row's page shows."""
    there = [m for m in cards if any(m in r["metrics"] for r in row.records)]
    many = len(row.records) > MOST_COLUMNS
    return {
        "row": row,
        "metrics": there,
        "spreads": {m: spread_of(row, m, cards[m]) for m in there} if many else {},
        "labels": [(run_page(r), run_label(r)) for r in row.records],
    }
