"""`fsig-bench report`: tables, figures and the HTML report of the records on disk.

    fsig-bench report [FOLDER ...]                  all of it, into results/; prints Markdown
    fsig-bench report only=tables,figures,html      a part of it
    fsig-bench report FOLDER only=thumbnails        a strip of samples beside each record (WebP)
    fsig-bench report table=main,crdi_table2        tables of conf/table: printed and written
    fsig-bench report table=main footnotes=none     LaTeX without legend and footnotes
    fsig-bench report table=crdi_table2 fill=true   fetches, prepares and runs what it lacks
    fsig-bench report verify [FOLDER ...]           checks that the numbers are those of the records
    fsig-bench report published                     how many printed numbers can be run whole
    fsig-bench report dashboard ENTITY PROJECT      a wandb workspace for the records
    fsig-bench report gallery DATASET FILE.png      the same as `fsig-bench gallery`
    fsig-bench report findings=true [FOLDER] out=docs/findings.md   which metrics to believe

FOLDER: where records lie, or a results folder (default: results). results_dir=DIR: where samples
and pictures of the runs are (default: FOLDER where it is a results folder, else results).
out=DIR: where the report goes (default: that results folder). --config-dir DIR: where `verify` and
`table` find YAML files of your own.

findings=true reads the records of FOLDER (default: results/reference) and the audits in the folder
`audit` beside the page.

fill=true says what it will fetch, prepare and run, asks once, does it, and goes on after a kill:
  dry_run=true           says it and stops       accept_licence=true     does it without asking
  method= dataset= seed= protocol=               a part of the table     device= batch_size=

Everything is a pure function of the records: methods down, target domains across, one table for
each metric; means, a ± of which the caption says what it holds, and the methods' mean ranks.
Records that differ in suite, protocol, k or sample count never share a table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsig_bench.api.plain import Record
from fsig_bench.console import printable, run_word
from fsig_bench.report.markdown import report
from fsig_bench.report.records import MOST_NAMED, load, record_files, record_folders
from fsig_bench.words import existing_folder, parse_words, switch

FILL_KEYS = (
    *("fill", "dry_run", "accept_licence", "method", "dataset", "protocol", "seed"),
    *("device", "batch_size", "compile", "data_dir"),
)
KEYS = ("only", "table", "findings", "footnotes", "results_dir", "out", *FILL_KEYS)
ALIASES = {"results": "results_dir"}
PARTS = ("tables", "figures", "html")  # what is written where none is named
THUMBNAILS = "thumbnails"
REFERENCE = "results/reference"  # the committed records


def write_parts(
    records: Sequence[Record],
    parts: Sequence[str],
    *,
    results: Path,
    out: Path,
    folders: Sequence[Path],
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

        made.append(write_report(records, results=results, out=out / "report", folders=folders))
    return made


def print_tables(
    names: Sequence[str],
    folders: Sequence[Path],
    out: Path,
    config_dir: Path | None,
    *,
    with_footnotes: bool,
) -> None:
    """Prints tables of conf/table and writes them; printed numbers need no record."""
    from fsig_bench.report.tables import build_table, load_spec, render_markdown, write_tables

    specs = [load_spec(name, config_dir=config_dir) for name in names]
    there = any(record_files(folder) for folder in folders)
    records = load(folders, short=True) if there else []
    for spec in specs:
        print(render_markdown(build_table(spec, records)), end="\n\n")
    made = write_tables(
        records, out / "tables", names, config_dir=config_dir, with_footnotes=with_footnotes
    )
    for path in made:
        print(path, file=sys.stderr)


def print_thumbnails(folders: Sequence[Path], results: Path) -> None:
    """Writes strips of samples, and says how many, how large and what lacks one."""
    from fsig_bench.report.thumbnails import write_thumbnails

    made, lacking = write_thumbnails(folders, results)
    for sentence in lacking[:MOST_NAMED]:
        print(f"no strip: {printable(sentence)}", file=sys.stderr)
    if (more := len(lacking) - MOST_NAMED) > 0:
        print(f"no strip: {more} more records", file=sys.stderr)
    size = sum(path.stat().st_size for path in made) / 2**20
    print(f"strips of samples: {len(made)}, beside their records, {size:.2f} MiB in all")


def print_verdicts(records: Sequence[Record], results: Path, config_dir: Path | None) -> int:
    """Prints what is wrong with each record; exit status 1 where one is wrong or foreign."""
    from fsig_bench.report.verify import replay

    found = replay(records, results, config_dir)
    print("\n".join(map(str, found)))
    bad, foreign = sum(bool(r.wrong) for r in found), sum(bool(r.foreign) for r in found)
    print(f"{len(found)} records: {bad} wrong" + (f", {foreign} foreign" if foreign else ""))
    return int(bad + foreign > 0)


def print_findings(folders: Sequence[str], out: str | None) -> int:
    """Writes docs/findings.md, or the page that is named.

    Raises:
        ValueError: there is no page to write, or more than one folder.
    """
    if out is None or not out.endswith(".md") or len(folders) > 1:
        raise ValueError("findings=true takes one folder of records and out=PAGE.md")
    from fsig_bench.report.findings import page

    target = Path(out).expanduser()
    records = existing_folder(folders[0] if folders else REFERENCE, key="a folder of records")
    sources = page.read_sources(
        records, existing_folder(str(target.parent / "audit"), key="audits")
    )
    for path in page.write_page(sources, target):
        print(path)
    return 0


def wants_filling(settings: Mapping[str, str]) -> bool:
    """Whether a table is to be filled.

    Raises:
        ValueError: no table is named, or a word of filling stands without fill=true.
    """
    if not switch(settings, "fill", default=False):
        if lost := [key for key in FILL_KEYS if key in settings and key != "fill"]:
            raise ValueError(f"{lost[0]}= belongs to fill=true: add it, with table=NAME")
        return False
    if "table" not in settings:
        raise ValueError("fill=true needs table=NAME, such as table=crdi_table2")
    return True


def wants_footnotes(settings: Mapping[str, str]) -> bool:
    """Whether LaTeX tables have a legend and footnotes.

    Raises:
        ValueError: neither all nor none.
    """
    footnotes = settings.get("footnotes", "all")
    if footnotes not in ("all", "none"):
        raise ValueError(f"footnotes={footnotes}: choose all or none")
    return footnotes == "all"


def results_of(typed: Sequence[str]) -> str:
    """The results folder that samples come from, where `results_dir` is not given."""
    paths = [Path(folder).expanduser() for folder in typed]
    homes = {path.parent if path.name == "runs" else path for path in paths}
    own = [str(home) for home in homes if (home / "store").is_dir()]
    return own[0] if len(own) == 1 else "results"


def main(words: Sequence[str]) -> int:
    """Prints the report and writes its parts; exit status 1 where `verify` finds something wrong.

    Raises:
        ValueError, OSError: a word is unknown, or the records are not there or damaged.
    """
    if words[:1] == ["dashboard"]:
        from fsig_bench.report import dashboard

        return dashboard.main(words[1:])
    if words[:1] == ["published"]:
        from fsig_bench.report import reach

        return reach.main(words[1:])
    if words[:1] == ["gallery"]:
        from fsig_bench.report import gallery

        return gallery.main(words[1:])
    given = parse_words(words, word="report", keys=KEYS, aliases=ALIASES)
    verify = "verify" in given.positional
    typed = [word for word in given.positional if word != "verify"]
    results = Path(given.settings.get("results_dir", results_of(typed))).expanduser()
    if switch(given.settings, "findings", default=False):
        return print_findings(typed, given.settings.get("out"))
    if wants_filling(given.settings):
        from fsig_bench.report.fill.work import fill_tables

        return fill_tables(
            given.settings["table"].split(","),
            results=results,
            out=Path(given.settings.get("out", results)).expanduser(),
            given=given.settings,
            config_dir=given.config_dir,
        )
    if "results_dir" in given.settings:
        results = existing_folder(str(results), key="results_dir")
        results = results.parent if results.name == "runs" else results
    folders = record_folders(typed or [str(results)] if results.is_dir() else typed)
    out = Path(given.settings.get("out", results)).expanduser()
    if names := given.settings.get("table"):
        shown = wants_footnotes(given.settings)
        print_tables(names.split(","), folders, out, given.config_dir, with_footnotes=shown)
        return 0
    if verify:
        return print_verdicts(load(folders), results, given.config_dir)
    parts = given.settings.get("only", ",".join(PARTS)).split(",")
    if unknown := [p for p in parts if p not in (*PARTS, THUMBNAILS)]:
        raise ValueError(f"only={unknown[0]}: choose from {', '.join((*PARTS, THUMBNAILS))}")
    if THUMBNAILS in parts:
        print_thumbnails(folders, results)
        if parts == [THUMBNAILS]:
            return 0
    records = load(folders, short=parts == ["tables"])
    print(report(records), end="")
    for path in write_parts(records, parts, results=results, out=out, folders=folders):
        print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(run_word("report", main))
