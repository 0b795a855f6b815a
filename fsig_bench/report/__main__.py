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

import sys
from collections.abc import Sequence
from pathlib import Path

from fsig_bench.report.markdown import report
from fsig_bench.report.records import Record, load

KEYS = ("only", "table", "results", "out")
ONLY = ("tables", "figures", "html")


def make(
    records: Sequence[Record], parts: Sequence[str], *, results: Path, out: Path
) -> list[Path]:
    """Writes the parts of the report; returns what a reader opens first."""
    from fsig_bench.report.tables import write_tables

    made = []
    if "tables" in parts:
        made += [p for p in write_tables(records, out / "tables") if p.suffix == ".md"]
    if "figures" in parts:
        from fsig_bench.report.figures.write import write_figures

        made += [
            p
            for p in write_figures(records, results=results, out=out / "figures")
            if p.suffix != ".svg"
        ]
    if "html" in parts:
        from fsig_bench.report.html.build import write_report

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
        from fsig_bench.report.tables import build_table, load_spec, render_markdown, write_tables

        there = any(path for folder in folders for path in folder.rglob("record.json"))
        records = load(folders) if there else []  # the printed numbers need none
        for name in names.split(","):
            print(render_markdown(build_table(load_spec(name), records)), end="\n\n")
        for path in write_tables(records, out / "tables", names.split(",")):
            print(path, file=sys.stderr)
        return 0
    records = load(folders)
    if verify:
        from fsig_bench.report.verify import replay

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
