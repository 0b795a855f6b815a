"""Records to a terminal table: a method next to its controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from fsig_bench.api.plain import Record
from fsig_bench.console import duration
from fsig_bench.metrics.cards import MetricCard, key_metrics, metric_card, metric_cards
from fsig_bench.report.variants import protocol_differences


def cell_text(record: Record, name: str, card: MetricCard) -> str:
    """One cell; a dash where the metric could not be computed."""
    value = record["metrics"].get(name, {}).get("value")
    return "-" if value is None else card.text(value)


def error_text(record: Record, name: str, card: MetricCard) -> str:
    """The standard error of a single run, where a metric gives one."""
    error = record["metrics"].get(name, {}).get("error")
    return card.text(error["standard_error"]) if error else "-"


def terminal_table(records: Sequence[Record]) -> Table:
    """Metrics down, the method and its controls across; all of one dataset and protocol."""
    first = records[0]
    for other in records[1:]:
        if other.get("protocol_hash") != first.get("protocol_hash"):
            raise ValueError(
                f"{first['method']} and {other['method']} were not scored alike: "
                f"{'; '.join(protocol_differences(first, other))}; run both again with one protocol"
            )
    some: dict[str, Any] = next((m for m in first["metrics"].values() if m.get("extractor")), {})
    title = (
        f"{first['dataset']}, {first['k']} shots  (suite {first['suite']}, protocol "
        f"{first['protocol']}, seed {first['seed']}, {first['num_images']} images)"
    )
    caption = f"features: {some.get('extractor', '-')}; reference: {some.get('n_real', '-')} images"
    if any(m.get("error") for r in records for m in r["metrics"].values()):
        caption += "; standard error: from disjoint blocks of samples"
    if first["suite"] == "mini":
        caption += "; mini numbers compare with nothing published"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("", no_wrap=True)
    for record in records:
        card = record["config"]["method"]["card"]
        style = "bold" if card["kind"] == "method" else None
        label = f"{card['label']}\n(from scratch)" if card.get("from_scratch") else card["label"]
        table.add_column(label, justify="right", style=style)
    cards = metric_cards(records)
    for name, shown_as in cards.items():
        last = name == list(cards)[-1]
        values = (cell_text(r, name, shown_as) for r in records)
        networks = {r["metrics"].get(name, {}).get("extractor") for r in records} - {None}
        others = sorted(networks - {some.get("extractor")})
        title = f"{shown_as.title} ({', '.join(others)})" if others else shown_as.title
        table.add_row(title, *values, end_section=last)
        if any(r["metrics"].get(name, {}).get("error") for r in records):
            errors = (error_text(r, name, shown_as) for r in records)
            table.add_row("  ± standard error", *errors)
    for stage in ("adapt", "sample"):
        table.add_row(f"{stage} s", *(f"{r['timing_s'][stage]:.1f}" for r in records))
    table.add_row("network evaluations an image", *(f"{r['nfe_per_image']:g}" for r in records))
    return table


def finished_line(record: Record, title: str, seconds: float) -> str:
    """One line on a cell of a sweep that has just finished.

    Args:
        record: of the cell itself.
        title: what the sweep calls it, "cell 3 of 8: crdi on babies, seed 1".
        seconds: how long the cell took now, its controls included.
    """
    number, _, name = title.partition(": ")
    cards = metric_cards([record])
    values = [f"{cards[m].heading} {cell_text(record, m, cards[m])}" for m in key_metrics([record])]
    return f"{number} done: {name or record['method']}: {', '.join(values)} ({duration(seconds)})"


def distances_that_prefer_copies(records: Sequence[Record]) -> list[str]:
    """Which distances prefer the replay of the shots to the method: they reward memorising."""
    by_name = {r["method"]: r["metrics"] for r in records}
    method, copy = records[0]["metrics"], by_name.get("copy")
    if copy is None or records[0]["method"] == "copy":
        return []
    found = []
    for name, card in metric_cards(records).items():
        mine, theirs = (m.get(name, {}).get("value") for m in (method, copy))
        if card.distance and mine is not None and theirs is not None and theirs < mine:
            found.append(f"{card.heading} prefers copying the shots to this method")
    return found


def warnings(records: Sequence[Record]) -> list[str]:
    """Warnings that methods give about their samples, runs of their shots, metrics of a value."""
    return [
        f"{r['config']['method']['card']['label']}: {r['notes']['warning']}"
        for r in records
        if "warning" in r.get("notes", {})
    ] + sorted(
        {
            r["notes"]["source_distance"]["remark"]
            for r in records
            if "remark" in r.get("notes", {}).get("source_distance", {})
        }
        | {
            f"{metric_card(name, [r]).heading}: {m['warning']}"
            for r in records
            for name, m in r["metrics"].items()
            if m.get("warning")
        }
    )


def missing_reasons(records: Sequence[Record]) -> list[str]:
    """Why cells are empty, each reason once."""
    found = {
        f"{name}: {m['reason']}"
        for r in records
        for name, m in r["metrics"].items()
        if m.get("value") is None and "reason" in m
    }
    return sorted(found)
