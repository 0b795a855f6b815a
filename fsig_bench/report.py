"""`python -m fsig_bench.report [FOLDER ...]`: tables of the records below the folders, as Markdown.

A pure function of the records: methods down, target domains across, one table a metric; mean and
standard deviation over seeds and subsets, and the methods' mean ranks. Records that differ in
suite, protocol, k or sample count never share a table.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.ranks import rank_line
from fsig_bench.store import read_record
from fsig_bench.table import COLUMNS, unlike

Record = dict[str, Any]
KINDS = {"method": 0, "control": 1}


def load(folders: Iterable[Path]) -> list[Record]:
    """Every record.json (or *.json of a folder of records) below the folders, in a fixed order.

    Raises:
        ValueError: a file is not a record, or there is none.
    """
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*.json")):
            if path.name == "status.json":
                continue
            try:
                record = read_record(path)
                found.append(((record["suite"], record["run_id"]), record))
            except (KeyError, TypeError) as error:
                raise ValueError(f"{path} is no record ({error!r}); move it away") from error
    if not found:
        raise ValueError(f"no record below {', '.join(map(str, folders))}; run a method first")
    return list(dict(sorted(found, key=lambda pair: pair[0])).values())


def setting(record: Record) -> tuple[Any, ...]:
    """What must agree for numbers to share a table."""
    rules = record["protocol"], record.get("protocol_hash", "")
    return (record["suite"], *rules, record["k"], record["num_images"])


def spread(values: Sequence[float], decimals: int) -> str:
    """Mean, with the standard deviation if there are several."""
    mean = f"{statistics.fmean(values):.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{decimals}f}"


def table(records: Sequence[Record], metric: str) -> str:
    """One metric: methods down, domains across; a dash where no record has it."""
    heading, decimals, arrow, factor = COLUMNS[metric]
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    label, order = {}, {}
    for r in records:
        card = r["config"]["method"]["card"]
        label[r["method"]] = card["label"] + (" (from scratch)" if card.get("from_scratch") else "")
        order[r["method"]] = (KINDS[card["kind"]], r["method"])
        value = r["metrics"].get(metric, {}).get("value")
        if value is not None:
            values[r["method"], r["dataset"]].append(value * factor)
    domains = sorted({r["dataset"] for r in records})
    lines = [f"| {heading} {arrow} | {' | '.join(domains)} |", "|---|" + "--:|" * len(domains)]
    for method in sorted(label, key=lambda m: order[m]):
        cells = [values.get((method, d), []) for d in domains]
        row = " | ".join(spread(c, decimals) if c else "-" for c in cells)
        lines.append(f"| {label[method]} | {row} |")
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
        shown = [m for m in COLUMNS if any(m in r["metrics"] for r in group)]
        for metric in shown:
            out.append(table(group, metric))
            if line := rank_line(group, metric):
                out.append(line)
    return "\n\n".join(out) + "\n"


def main(words: Sequence[str]) -> None:
    """Prints the report; folders default to results/runs."""
    folders = [Path(w).expanduser() for w in words] or [Path("results/runs")]
    print(report(load(folders)), end="")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
