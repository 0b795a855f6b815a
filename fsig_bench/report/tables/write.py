"""Tables to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.api.files import write_bytes
from fsig_bench.api.plain import Record
from fsig_bench.report.published import FOLDER
from fsig_bench.report.tables.build import build_table
from fsig_bench.report.tables.csv_file import render_csv
from fsig_bench.report.tables.latex import document, render_latex
from fsig_bench.report.tables.markdown import render_markdown
from fsig_bench.report.tables.spec import load_spec, table_names

RENDERERS = {"md": render_markdown, "csv": render_csv, "tex": render_latex}


def write_tables(
    records: Sequence[Record],
    out: Path,
    names: Sequence[str] | None = None,
    *,
    config_dir: Path | None = None,
    with_footnotes: bool = True,
) -> list[Path]:
    """Writes NAME.md, NAME.csv and NAME.tex of each table, document.tex and references.bib.

    Args:
        records: of any suites and protocols; each table takes those that belong into it.
        out: folder, made if need be.
        names: which tables; None is all of conf/table.
        config_dir: a folder of the user's own, whose `table` comes first.
        with_footnotes: whether the LaTeX files have a legend and footnotes.

    Returns:
        The files, in the order in which they were written.

    Raises:
        ValueError: a name or a specification is wrong; nothing has been written then.
    """
    chosen = list(dict.fromkeys(table_names() if names is None else names))
    specs = [load_spec(name, config_dir=config_dir) for name in chosen]
    tables = [build_table(spec, records) for spec in specs]
    texts = {
        f"{table.name}.{end}": render(table)
        for table in tables
        for end, render in RENDERERS.items()
    }
    if not with_footnotes:
        texts |= {f"{t.name}.tex": render_latex(t, with_footnotes=False) for t in tables}
    texts["document.tex"] = document(chosen)
    texts["references.bib"] = (FOLDER / "references.bib").read_text(encoding="utf-8")
    for name, text in texts.items():
        write_bytes(out / name, text.encode())
    return [out / name for name in texts]
