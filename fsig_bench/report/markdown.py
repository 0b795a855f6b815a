"""Records as Markdown tables: methods down, target domains across."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_names
from fsig_bench.report.inference.ranks import change_line, flip_line, mean_line, rank_line
from fsig_bench.report.inference.sentences import spread_sentences
from fsig_bench.report.records import comparable_setting
from fsig_bench.report.tables.components import component_lines
from fsig_bench.report.tables.markdown import line_text, render_panel
from fsig_bench.report.tables.model import Panel
from fsig_bench.report.tables.own_records import metric_panel
from fsig_bench.report.variants import main_variant, protocol_differences, variant_labels


def table(records: Sequence[Record], metric: str) -> str:
    """One metric: methods down, domains across; a dash where no record has it."""
    return render_panel(metric_panel(metric, records))


def spread_of(panels: Sequence[Panel]) -> list[str]:
    """What the ± of these panels hold."""
    cells = (cell for panel in panels for row in panel.rows for cell in row.cells)
    return spread_sentences(cell.units for cell in cells if cell.units)


def report(records: Sequence[Record]) -> str:
    """All tables, a section for each group of like settings."""
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[comparable_setting(record)].append(record)
    out = []
    for key in sorted(groups, key=str):
        group, (suite, protocol, version, k, count) = groups[key], key
        labels, metrics = variant_labels(group), metric_names(group)
        panels = [metric_panel(metric, group, labels) for metric in metrics]
        name = f"{protocol} ({version})" if version else protocol
        out.append(f"## Suite {suite}, protocol {name}, {k} shots, {count} samples")
        words = " ".join(["Means.", *spread_of(panels[:1])])
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
        main = main_variant(group, labels)
        for metric, panel in zip(metrics, panels, strict=True):
            out.append(render_panel(panel))
            sentences = (mean_line, rank_line, flip_line, change_line)
            lines = (say(main, metric) for say in sentences)
            out += [line_text(line) for line in lines if line]
        out += component_lines(main)
    return "\n\n".join(out) + "\n"
