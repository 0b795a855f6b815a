"""Records as Markdown tables: methods down, target domains across."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fsig_bench.metrics.cards import metric_card, metric_names
from fsig_bench.report.ranks import rank_line
from fsig_bench.report.records import KINDS, Record, setting, spread
from fsig_bench.report.variants import apart, main_variant, unlike


def table(records: Sequence[Record], metric: str) -> str:
    """One metric: methods down, domains across; a dash where no record has it."""
    shown_as = metric_card(metric, records)
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    label, order = {}, {}
    for r, differs in zip(records, apart(records), strict=True):
        card = r["config"]["method"]["card"]
        row = f"{r['method']} {differs}"
        label[row] = card["label"] + (" (from scratch)" if card.get("from_scratch") else "")
        label[row] += f" [{differs}]" if differs else ""
        order[row] = (KINDS[card["kind"]], r["method"], differs)
        value = r["metrics"].get(metric, {}).get("value")
        if value is not None:
            values[row, r["dataset"]].append(value * shown_as.factor)
    domains = sorted({r["dataset"] for r in records})
    lines = [
        f"| {shown_as.heading} {shown_as.arrow} | {' | '.join(domains)} |",
        "|---|" + "--:|" * len(domains),
    ]
    for row in sorted(label, key=lambda name: order[name]):
        cells = [values.get((row, d), []) for d in domains]
        shown = " | ".join(spread(c, shown_as.decimals) if c else "-" for c in cells)
        lines.append(f"| {label[row]} | {shown} |")
    return "\n".join(lines)


def report(records: Sequence[Record]) -> str:
    """All tables, a section for each group of like settings."""
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[setting(record)].append(record)
    out = []
    for key in sorted(groups, key=str):
        group, (suite, protocol, version, k, count) = groups[key], key
        seeds = sorted({r["seed"] for r in group})
        name = f"{protocol} ({version})" if version else protocol
        out.append(f"## Suite {suite}, protocol {name}, {k} shots, {count} samples")
        words = f"Mean ± standard deviation over seeds {', '.join(map(str, seeds))}."
        names = {m["extractor"] for r in group for m in r["metrics"].values() if "extractor" in m}
        words += f" Features: {', '.join(sorted(names))}."
        if group[0]["config"].get("protocol", {}).get("reference") == "shots":
            words += " Distances are to the shots themselves: replaying them scores best."
        if suite == "mini":
            words += " Numbers of the mini suite compare with nothing published."
        out.append(words)
        others = {g[0]["protocol_hash"]: g[0] for s, g in groups.items() if s[0] == suite and s[2]}
        for other in sorted(set(others) - {version} if version else ()):
            fields = "; ".join(unlike(group[0], others[other]))
            out.append(f"Not to be compared with {others[other]['protocol']} ({other}): {fields}.")
        for metric in metric_names(group):
            out.append(table(group, metric))
            if line := rank_line(main_variant(group), metric):
                out.append(line)
    return "\n\n".join(out) + "\n"
