"""Where a run's values lie on the scale of planted faults (docs/instrument.md).

The audit gives, for each metric and fault, its value at five strengths. A run's value lies between
two strengths if it is at least as bad as at the weaker one and better than at the stronger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.api.places import CHECKOUT
from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.audit.setting import read_audit
from fsig_bench.report.audit.table import Row

WORDS = {
    "suite": "suite",
    "dataset": "target",
    "protocol": "protocol",
    "version": "version of the protocol",
    "num_images": "number of samples",
    "k": "number of shots",
    "subset": "set of shots",
}
UNSEEN = "not seen"


@dataclass(frozen=True, kw_only=True)
class Planted:
    """The scale of faults that one run's values are laid on, or why there is none."""

    why_not: str  # "" where there is a scale
    faults: tuple[str, ...] = ()  # headings
    lines: tuple[tuple[str, str, str, tuple[str, ...]], ...] = ()
    """Heading of a metric, value, value of real images, and a place for each fault."""


def read_planted(results: Path) -> list[tuple[JsonDict, list[Row]]]:
    """The audits below a results folder and of the checkout."""
    places = [results / "audit", *([CHECKOUT / "docs" / "audit"] if CHECKOUT else [])]
    return [found for place in places if (found := read_audit(place))]


def place_of(record: Record, audits: Sequence[tuple[JsonDict, list[Row]]]) -> Planted:
    """A run's values among planted faults, where target, protocol and counts are the same."""
    if not audits:
        return Planted(why_not="There is no audit here; fsig-bench audit makes one.")
    own = {key: record.get(key) for key in WORDS}
    own["version"] = record["config"].get("protocol", {}).get("version")
    reasons: list[list[str]] = []
    for setting, rows in audits:
        unlike = [
            f"{word} {own[key]}, not {setting[key]}"
            for key, word in WORDS.items()
            if own[key] != setting[key]
        ]
        if not unlike:
            return places(record, rows)
        reasons.append(unlike)
    fewest = min(len(unlike) for unlike in reasons)
    closest = "; ".join(next(unlike for unlike in reasons if len(unlike) == fewest))
    return Planted(
        why_not="This run cannot be laid beside the planted faults, which were scored otherwise: "
        f"{closest}."
    )


def places(record: Record, rows: Sequence[Row]) -> Planted:
    """All metrics that both have; metrics without a direction are left out."""
    faults = dict.fromkeys((row.fault, row.heading) for row in rows)
    lines = []
    for name in dict.fromkeys(row.metric for row in rows):
        value = record["metrics"].get(name, {}).get("value")
        card = metric_card(name, [record])
        if value is None or card.claimed == "none":
            continue
        own = [row for row in rows if row.metric == name]
        cells = tuple(
            between(value, [row for row in own if row.fault == fault], card.claimed)
            for fault, _ in faults
        )
        real = card.text(own[0].floor_mean)
        lines.append((card.claimed_title, card.text(value), real, cells))
    return Planted(why_not="", faults=tuple(h for _, h in faults), lines=tuple(lines))


def between(value: float, rows: Sequence[Row], better: str) -> str:
    """Between which strengths of one fault a value lies.

    Args:
        value: of the run, as records hold it.
        rows: of one metric and fault, at least one.
        better: lower, higher or like_real.
    """
    ordered = sorted(rows, key=lambda row: row.level)
    if not any(row.verdict == "seen" for row in ordered):
        return UNSEEN

    def badness(number: float) -> float:
        off = number - ordered[0].floor_mean
        return {"lower": off, "higher": -off}.get(better, abs(off))

    own = badness(value)
    worse = [row for row in ordered if badness(row.value) > own]
    if not worse:
        return f"beyond {ordered[-1].strength:g}"
    first = worse[0]
    if first is ordered[0]:
        return f"below {first.strength:g}"
    return f"{ordered[first.level - 2].strength:g} to {first.strength:g}"
