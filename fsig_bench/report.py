"""`python -m fsig_bench.report`: tables, figures and the HTML report of the records on disk.

    python -m fsig_bench.report [FOLDER ...]               all of it, into results/; prints Markdown
    python -m fsig_bench.report only=tables,figures,html   a part of it
    python -m fsig_bench.report table=main,crdi_table2     tables of conf/table, printed, written
    python -m fsig_bench.report verify                     are the numbers still what records say?

FOLDER: where records lie (default: results/runs). results=DIR: where samples and pictures of the
runs are (default: results); out=DIR: where the report goes (default: the same).

Everything is a pure function of the records: methods down, target domains across, one table a
metric; mean and standard deviation over seeds and subsets, and the methods' mean ranks. Records
that differ in suite, protocol, k or sample count never share a table.
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
from fsig_bench.variants import apart, main_variant

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
    for r, differs in zip(records, apart(records), strict=True):
        card = r["config"]["method"]["card"]
        row = f"{r['method']} {differs}"
        label[row] = card["label"] + (" (from scratch)" if card.get("from_scratch") else "")
        label[row] += f" [{differs}]" if differs else ""
        order[row] = (KINDS[card["kind"]], r["method"], differs)
        value = r["metrics"].get(metric, {}).get("value")
        if value is not None:
            values[row, r["dataset"]].append(value * factor)
    domains = sorted({r["dataset"] for r in records})
    lines = [f"| {heading} {arrow} | {' | '.join(domains)} |", "|---|" + "--:|" * len(domains)]
    for row in sorted(label, key=lambda name: order[name]):
        cells = [values.get((row, d), []) for d in domains]
        shown = " | ".join(spread(c, decimals) if c else "-" for c in cells)
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
        shown = [m for m in COLUMNS if any(m in r["metrics"] for r in group)]
        for metric in shown:
            out.append(table(group, metric))
            if line := rank_line(main_variant(group), metric):
                out.append(line)
    return "\n\n".join(out) + "\n"


KEYS = ("only", "table", "results", "out")
ONLY = ("tables", "figures", "html")


def make(
    records: Sequence[Record], parts: Sequence[str], *, results: Path, out: Path
) -> list[Path]:
    """Writes the parts of the report; returns what a reader opens first."""
    from fsig_bench.tables import write_tables

    made = []
    if "tables" in parts:
        made += [p for p in write_tables(records, out / "tables") if p.suffix == ".md"]
    if "figures" in parts:
        from fsig_bench.figures.paper import write_figures

        made += [
            p
            for p in write_figures(records, results=results, out=out / "figures")
            if p.suffix != ".svg"
        ]
    if "html" in parts:
        from fsig_bench.html.build import write_report

        made.append(write_report(records, results=results, out=out / "report"))
    return made


def main(words: Sequence[str]) -> int:
    """Prints the report and writes its parts; exit status 1 where `verify` finds something wrong.

    Raises:
        ValueError, OSError: a word is unknown, or the records are not there or damaged.
    """
    given = dict(w.split("=", 1) for w in words if "=" in w)
    if wrong := sorted(set(given) - set(KEYS)):
        raise ValueError(f"{wrong[0]}=: report knows {', '.join(f'{k}=' for k in KEYS)}")
    plain = [w for w in words if "=" not in w]
    verify = plain[:1] == ["verify"]
    folders = [Path(w).expanduser() for w in plain[verify:]] or [Path("results/runs")]
    results = Path(given.get("results", "results")).expanduser()
    out = Path(given.get("out", results)).expanduser()
    if names := given.get("table"):
        from fsig_bench.tables import build_table, load_spec, render_markdown, write_tables

        there = any(path for folder in folders for path in folder.rglob("record.json"))
        records = load(folders) if there else []  # the printed numbers need none
        for name in names.split(","):
            print(render_markdown(build_table(load_spec(name), records)), end="\n\n")
        for path in write_tables(records, out / "tables", names.split(",")):
            print(path, file=sys.stderr)
        return 0
    records = load(folders)
    if verify:
        from fsig_bench.replay import replay

        found = replay(records, results)
        print("\n".join(map(str, found)))
        bad = sum(bool(r.wrong) for r in found)
        print(f"{len(found)} records: {bad} wrong")
        return int(bad > 0)
    parts = given.get("only", ",".join(ONLY)).split(",")
    if unknown := [p for p in parts if p not in ONLY]:
        raise ValueError(f"only={unknown[0]}: choose from {', '.join(ONLY)}")
    print(report(records), end="")
    for path in make(records, parts, results=results, out=out):
        print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
