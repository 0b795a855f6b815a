"""The rows of an audit, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import get_args

from fsig_bench.metrics.cards import MetricCard, metric_card
from fsig_bench.report.audit.rule import RISK, Floor, Verdict, critical, verdict
from fsig_bench.report.inference.intervals import estimate
from fsig_bench.report.tables.markdown import grid_markdown


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric on one planted set."""

    fault: str
    heading: str  # of the fault
    level: int  # 1 is the weakest strength
    strength: float
    metric: str
    value: float
    floor_mean: float
    floor_spread: float
    floor_draws: int
    deviation: float  # prediction standard deviations above the floor's mean
    verdict: Verdict
    protocol: str = "ours"
    samples: int = 500  # in a set
    sets: int = 1  # with this fault at this strength; `value` is their mean
    low: float = math.nan  # Student's 95 % interval of the mean, from several sets
    high: float = math.nan


Place = tuple[str, str, int, float]  # fault, heading, level, strength


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one protocol's metrics say, by the metric's name."""

    protocol: str
    samples: int
    floor: Sequence[Mapping[str, float]]  # of each draw of real images
    planted: Mapping[Place, Sequence[Mapping[str, float]]]  # of each set with a fault

    @property
    def names(self) -> list[str]:
        """The metrics that have a value on every draw of real images."""
        return [n for n in self.floor[0] if all(math.isfinite(v[n]) for v in self.floor)]

    @property
    def comparisons(self) -> int:
        """How many verdicts there are."""
        directed = sum(metric_card(name).claimed != "none" for name in self.names)
        return len(self.planted) * directed


def audit_rows(scored: Scored, comparisons: int | None = None) -> list[Row]:
    """Judges every metric of a protocol on every planted set.

    Args:
        scored: the values; metrics without a value on some draw of real images are left out.
        comparisons: of the whole table; None: this protocol is all of it.
    """
    names = scored.names
    cards = {name: metric_card(name) for name in names}
    floors = {name: Floor.of([v[name] for v in scored.floor], cards[name]) for name in names}
    family = scored.comparisons if comparisons is None else comparisons
    rows = []
    for (fault, heading, level, strength), each in scored.planted.items():
        for name in names:
            mean = estimate([values[name] for values in each])
            own, value = floors[name], mean.mean
            found: Verdict = "not seen"
            if math.isfinite(value):
                found = verdict(value, own, cards[name], family, mean.count)
            rows.append(
                Row(
                    fault=fault,
                    heading=heading,
                    level=level,
                    strength=strength,
                    metric=name,
                    value=value,
                    floor_mean=own.mean,
                    floor_spread=own.spread,
                    floor_draws=own.draws,
                    deviation=own.deviation(value, mean.count),
                    verdict=found,
                    protocol=scored.protocol,
                    samples=scored.samples,
                    sets=mean.count,
                    low=math.nan if mean.low is None else mean.low,
                    high=math.nan if mean.high is None else mean.high,
                )
            )
    return rows


def to_csv(rows: Sequence[Row]) -> str:
    """One line a row, in six significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        node = asdict(row)
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in node.items()})
    return text.getvalue()


def from_csv(text: str) -> list[Row]:
    """The rows that `to_csv` wrote.

    Raises:
        ValueError: an unknown verdict.
    """
    kinds = {"int": int, "float": float, "str": str}
    kind_of = {f.name: kinds.get(str(f.type), str) for f in fields(Row)}
    rows = [
        Row(**{key: kind_of[key](value) for key, value in node.items()})
        for node in csv.DictReader(io.StringIO(text))
    ]
    if strange := [row.verdict for row in rows if row.verdict not in get_args(Verdict)]:
        raise ValueError(f"the audit's table holds the verdict {strange[0]!r}")
    return rows


def first_levels(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """(metric, fault) -> the weakest level from which on it is seen, "-" for none, "!" if rewarded.

    A fault counts as seen from a level on if it is seen at every stronger one too.
    """
    found = {}
    for metric, fault in dict.fromkeys((row.metric, row.fault) for row in rows):
        own = [r for r in rows if (r.metric, r.fault) == (metric, fault)]
        own.sort(key=lambda row: row.level)
        unseen = [row.level for row in own if row.verdict != "seen"]
        first = max(unseen, default=0) + 1
        text = str(first) if first <= own[-1].level else "-"
        found[metric, fault] = text + "!" * any(row.verdict == "rewarded" for row in own)
    return found


def overlooked(rows: Sequence[Row], *, level: int = 2) -> list[str]:
    """The faults that no metric sees at a level."""
    at = [row for row in rows if row.level == level]
    seen = {row.fault for row in at if row.verdict == "seen"}
    return [fault for fault in dict.fromkeys(row.fault for row in at) if fault not in seen]


def summary_markdown(rows: Sequence[Row]) -> str:
    """Metric by fault: from which of the five strengths on it is seen."""
    levels = first_levels(rows)
    faults = {row.fault: row.heading.partition(",")[0] for row in rows}
    lines = [
        [metric_card(metric).heading, *(levels[metric, fault] for fault in faults)]
        for metric in dict.fromkeys(row.metric for row in rows)
    ]
    return grid_markdown(["seen from strength", *faults.values()], lines)


def fault_markdown(rows: Sequence[Row], fault: str) -> str:
    """One fault: each metric's value at each strength; bold where seen, italic where rewarded."""
    own = [row for row in rows if row.fault == fault]
    strengths = dict.fromkeys((row.level, row.strength) for row in own)
    lines = []
    for metric in dict.fromkeys(row.metric for row in own):
        card, of_metric = metric_card(metric), [r for r in own if r.metric == metric]
        row = of_metric[0]
        real = f"{card.text(row.floor_mean)} ± {card.text(row.floor_spread)}"
        lines.append([card.claimed_title, real, *(_cell(r, card) for r in of_metric)])
    return grid_markdown([own[0].heading, "real", *(f"{s:g}" for _, s in strengths)], lines)


def _cell(row: Row, card: MetricCard) -> str:
    mark = {"seen": "**", "rewarded": "*"}.get(row.verdict, "")
    return f"{mark}{card.text(row.value)}{mark}" if math.isfinite(row.value) else "-"


def rule_sentence(rows: Sequence[Row]) -> str:
    """The rule with its numbers."""
    draws, directed = rows[0].floor_draws, [r for r in rows if r.verdict != "no direction"]
    one, both = (critical(draws, len(directed), sides=sides) for sides in (1, 2))
    return (
        f"A fault counts as seen where the value lies more than {one:.1f} prediction standard "
        f"deviations ({both:.1f} for metrics that are best where real images lie) from the mean of "
        f"{draws} sets of fresh real images, in the metric's bad direction: a risk of "
        f"{RISK * 100:g} % over all {len(directed)} comparisons."
    )


def by_protocol(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """The rows of each protocol and number of samples."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row.protocol, row.samples), []).append(row)
    return found


def markdown(rows: Sequence[Row]) -> str:
    """The whole audit; of several protocols only which fault is seen from which strength on."""
    parts = by_protocol(rows)
    if len(parts) == 1:
        return whole_markdown(rows)
    text = [rule_sentence(rows)]
    for (protocol, samples), own in parts.items():
        text += [f"{protocol}, {samples} samples:", summary_markdown(own)]
    return "\n\n".join(text) + "\n"


def whole_markdown(rows: Sequence[Row]) -> str:
    """The audit of one protocol."""
    headings = {row.fault: row.heading.partition(",")[0] for row in rows}
    missed = [headings[fault] for fault in overlooked(rows)]
    verdict_line = (
        f"No metric sees {', '.join(missed)} at the second strength."
        if missed
        else "At least one metric sees every fault at its second strength."
    )
    note = 'The number is the weakest strength from which on a metric sees the fault; "-": at none;'
    note += ' "!": a strength that the metric rewards.'
    parts = [rule_sentence(rows), verdict_line, summary_markdown(rows), note]
    parts += [fault_markdown(rows, fault) for fault in dict.fromkeys(r.fault for r in rows)]
    return "\n\n".join(parts) + "\n"
