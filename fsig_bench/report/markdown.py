"""Records as Markdown tables: methods down, target domains across."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_names
from fsig_bench.report.ranks import rank_line
from fsig_bench.report.records import comparable_setting
from fsig_bench.report.tables.markdown import line_text, render_panel
from fsig_bench.report.tables.own_records import metric_panel
from fsig_bench.report.variants import main_variant, protocol_differences, variant_labels


def table(records: Sequence[Record], metric: str) -> str:
    """One metric: methods down, domains across; a dash where no record has it."""
    return render_panel(metric_panel(metric, records))


def report(records: Sequence[Record]) -> str:
    """All tables, a section for each group of like settings."""
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[comparable_setting(record)].append(record)
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
        out.append(line_text(words))
        others = {g[0]["protocol_hash"]: g[0] for s, g in groups.items() if s[0] == suite and s[2]}
        for other in sorted(set(others) - {version} if version else ()):
            fields = "; ".join(protocol_differences(group[0], others[other]))
            name = others[other]["protocol"]
            out.append(line_text(f"Not to be compared with {name} ({other}): {fields}."))
        labels = variant_labels(group)
        main = main_variant(group, labels)
        for metric in metric_names(group):
            out.append(render_panel(metric_panel(metric, group, labels)))
            if line := rank_line(main, metric):
                out.append(line_text(line))
    return "\n\n".join(out) + "\n"
