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
from fsig_bench.report.html.faults import place_of, read_planted
from fsig_bench.report.html.links import method_label, protocol_label, run_label, run_page
from fsig_bench.report.html.marks import HOW
from fsig_bench.report.html.outputs import Outputs
from fsig_bench.report.html.overview import make_views, symbols_of, view_signs
from fsig_bench.report.html.pictures import Writer
from fsig_bench.report.html.plots import HEIGHT, WIDTH
from fsig_bench.report.html.row_page import row_page_values
from fsig_bench.report.html.rows import Row, list_settings, make_rows
from fsig_bench.report.html.side_by_side import group_runs
from fsig_bench.report.html.strips import beside
from fsig_bench.report.html.symbols import sign_of
from fsig_bench.report.html.tsne import sheet_maker
from fsig_bench.report.html.unfinished import unfinished_runs
from fsig_bench.report.inference.units import chance_of
from fsig_bench.report.rerun import rerun_command
from fsig_bench.report.thumbnails import thumbnail_places

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
ASSETS = ("style.css", "theme.js", "tiles.js", "index.js", "tsne.js", "compare.js")
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
        "run_label": run_label,
        "strip_caption": content.strip_caption,
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
    return re.fullmatch(r"\.index\.html\.\d+\.[0-9a-f]{8}\.tmp", path.name) is not None


def embedding_name(record: Record) -> str:
    """What the record's plot of points is called."""
    embedding = str(record["config"].get("figures", {}).get("embedding", "tsne"))
    return NAMES.get(embedding, embedding)


def run_page_values(record: Record, row: Row, found: Json) -> JsonDict:
    """All that the run's template shows."""
    return {
        "record": record,
        "row": row,
        "chance": chance_of(record),
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


def write_report(
    records: Sequence[Record], *, results: Path, out: Path, folders: Sequence[Path] = ()
) -> Path:
    """Writes the report and returns its index.html.

    Pages and pictures of an earlier report in `out` that this one does not have are removed.

    Args:
        records: to report.
        results: the folder with `runs/` and `store/`; what is not there is named on the pages.
        out: the report's folder.
        folders: where strips of samples may lie beside records.

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

    for name in ASSETS:
        write(f"assets/{name}", (HERE / name).read_bytes())
    table, pending = make_rows(records, cards), unfinished_runs(results)
    outputs = Outputs(
        results=results,
        thumbnails=thumbnail_places([results / "runs", *folders]),
        write=write,
        make=sheet_maker(write),
    )
    collected = {run_page(r): outputs.collect(r) for row in table for r in row.records}
    planted = read_planted(results)
    for row in table:
        for record in row.records:
            block = beside(record, table, outputs.strip_of, outputs.shots_of)
            found = collected[run_page(record)] | {
                "beside": block,
                "symbols": symbols_of(line.sign for line in block.rows) if block else [],
                "planted": place_of(record, planted),
                "sign": sign_of(record),
            }
            page(run_page(record), "run.html", **run_page_values(record, row, found))
        page(row.page, "row.html", **row_page_values(row, cards))
    groups = group_runs(table, outputs.sheets, outputs.strips, cards, outputs.shots_of)
    page("compare.html", "compare.html", groups=groups)
    page("unfinished.html", "unfinished.html", pending=pending)
    settings = list_settings(records, list(cards))
    views = make_views(table, settings, cards, outputs.strip_of, outputs.shots_of)
    page(
        "index.html",
        "index.html",
        rows=table,
        metrics=list(cards),
        settings=settings,
        views=views,
        symbols=symbols_of(view_signs(views)),
        marking=HOW,
        pending=pending,
        runs=len(records),
    )
    for folder in FOLDERS:
        for path in sorted((out / folder).glob("*")):
            if path.is_file() and f"{folder}/{path.name}" not in write.written:
                path.unlink()
    return out / "index.html"
