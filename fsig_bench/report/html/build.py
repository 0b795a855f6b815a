"""The report's folder: pages from the records, pictures and sheets from the results folder.

Nothing in it depends on the time, the machine or the place of the results, so records, pictures and
samples that are equal give equal bytes. It opens from disk and asks nothing of a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.files import write_bytes
from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.metrics.cards import MetricCard, metric_cards
from fsig_bench.pictures.tsne import NAMES
from fsig_bench.report.html import run_page as content
from fsig_bench.report.html.links import method_label, protocol_label, run_page
from fsig_bench.report.html.pictures import (
    PICTURES,
    Sheet,
    Writer,
    copy_pictures,
    first_samples,
    make_sheet,
)
from fsig_bench.report.html.plots import HEIGHT, WIDTH, make_curves
from fsig_bench.report.html.rows import Row, list_settings, make_rows
from fsig_bench.report.html.side_by_side import group_runs
from fsig_bench.report.html.tsne import MakeSheet, make_plot, sheet_maker
from fsig_bench.report.html.unfinished import unfinished_runs
from fsig_bench.report.rerun import rerun_command
from fsig_bench.store.curve import read_curve
from fsig_bench.store.store import Store

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
GENERATOR_TAG = '<meta name="generator" content="fsig_bench">'
UNFINISHED_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">{GENERATOR_TAG}<title>Unfinished report</title></head>
<body><p>This report was not finished; run the same command again.</p></body></html>
"""
FOLDERS = ("assets", "cells", "pictures", "rows", "runs", "sheets")  # old files there are removed


def jinja_environment(cards: Mapping[str, MetricCard]) -> Environment:
    """Templates with autoescape; an unknown name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["plain"] = content.format_value
    templates.globals |= {
        "cards": cards,
        "curve_size": (WIDTH, HEIGHT),
        "protocol_label": protocol_label,
        "method_label": method_label,
        "run_page": run_page,
    }
    return templates


def check_out(out: Path) -> None:
    """Raises ValueError where `out` holds something that is not a report."""
    index = out / "index.html"
    if not out.exists() or (out.is_dir() and all(is_first_file(path) for path in out.iterdir())):
        return
    if not index.is_file() or GENERATOR_TAG not in index.read_text(errors="replace")[:2000]:
        raise ValueError(f"{out} exists and holds no report; give a new or an empty folder")


def is_first_file(path: Path) -> bool:
    """Whether this is what a report that was killed at once leaves: its first file, unfinished."""
    return re.fullmatch(r"\.index\.html\.\d+\.tmp", path.name) is not None


def collect_outputs(
    record: Record,
    results: Path,
    write: Writer,
    make: MakeSheet,
    known: dict[str, Sheet | str | None],
) -> JsonDict:
    """What the run left on disk: figures, sheet of samples, plot, curves; or why it is missing."""
    store, missing = Store(results), []
    folder = store.run_folder(record)
    pictures, wrong = copy_pictures(list(PICTURES), folder, write) if folder else ([], [])
    missing += wrong
    if not pictures:
        missing.append("The results folder has no pictures of this run.")
    key = str(record.get("stages", {}).get("sample", ""))
    if (known_key := f"{key}/{record['num_images']}") not in known:
        try:
            samples = first_samples(results, record)
            known[known_key] = None if samples is None else make_sheet(samples, write)
        except (ValueError, OSError) as error:
            known[known_key] = str(error).replace(f"{results}/", "")
    found = known[known_key]
    if not isinstance(found, Sheet):
        missing.append(found or "The results folder has no samples of this run.")
    own = found if isinstance(found, Sheet) else None
    shown = make_plot(folder, record, own, make) if folder else None
    stage = store.stage_folder(record, "adapt")
    lines = make_curves(read_curve(stage / "curve.jsonl")) if stage else []
    return {"pictures": pictures, "sheet": own, "plot": shown, "curves": lines, "missing": missing}


def embedding_name(record: Record) -> str:
    """What the record's plot of points is called."""
    embedding = str(record["config"].get("figures", {}).get("embedding", "tsne"))
    return NAMES.get(embedding, embedding)


def run_page_values(record: Record, row: Row, found: Json) -> JsonDict:
    """All that the run's template shows."""
    return {
        "record": record,
        "row": row,
        "embedding": embedding_name(record),
        "command": rerun_command(record),
        "metrics": content.make_metrics(record),
        "cost": content.cost(record),
        "environment": content.environment(record),
        "warnings": content.warnings(record),
        "notes": content.notes(record),
        "provenance": content.provenance(record),
        **found,
    }


def write_report(records: Sequence[Record], *, results: Path, out: Path) -> Path:
    """Writes the report and returns its index.html.

    `results` is the folder with `runs/` and `store/`; what is not there is named on the pages.
    Pages and pictures of an earlier report in `out` that this one does not have are removed.

    Raises:
        ValueError: no record, or `out` holds something else.
        OSError: `out` cannot be written.
    """
    if not records:
        raise ValueError("no record to report; run a method first")
    check_out(out)
    cards = metric_cards(records)
    pages, write = jinja_environment(cards), Writer(out)
    if not (out / "index.html").exists():  # first of all, so that a report that is killed is one
        write_bytes(out / "index.html", UNFINISHED_PAGE.encode())

    def page(name: str, template: str, **values: object) -> None:
        root = "../" * name.count("/")
        text = pages.get_template(template).render(root=root, here=name, **values)
        write(name, text.encode())

    for name in ("style.css", "report.js"):
        write(f"assets/{name}", (HERE / name).read_bytes())
    table, pending = make_rows(records, cards), unfinished_runs(results)
    make, known, sheets = sheet_maker(write), dict[str, Sheet | str | None](), {}
    for row in table:
        for record in row.records:
            found = collect_outputs(record, results, write, make, known)
            if found["sheet"]:
                sheets[run_page(record)] = found["sheet"]
            page(run_page(record), "run.html", **run_page_values(record, row, found))
        page(row.page, "row.html", row=row, metrics=[m for m in cards if _has(row, m)])
    page("compare.html", "compare.html", groups=group_runs(table, sheets))
    page("unfinished.html", "unfinished.html", pending=pending)
    page(
        "index.html",
        "index.html",
        rows=table,
        metrics=list(cards),
        settings=list_settings(records, list(cards)),
        pending=pending,
        runs=len(records),
    )
    for folder in FOLDERS:
        for path in sorted((out / folder).glob("*")):
            if path.is_file() and f"{folder}/{path.name}" not in write.written:
                path.unlink()
    return out / "index.html"


def _has(row: Row, metric: str) -> bool:
    return any(metric in r["metrics"] for r in row.records)
