"""A table as LaTeX: booktabs rules, S columns of siunitx, citations through BibTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from fsig_bench.report.tables.columns import Shape, number, shape_of
from fsig_bench.report.tables.footnotes import Footnotes, Marks, cell_text, footnotes, letter
from fsig_bench.report.tables.model import Column, Panel, Row, Table, TableCell

SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "↓": r"\(\downarrow\)",
    "↑": r"\(\uparrow\)",
    "→": r"\(\rightarrow\)",
    "±": r"\(\pm\)",
    "×": r"\(\times\)",
}
WIDE = 6  # columns side by side; a panel with more goes on below
PAGE = 28  # lines of tables on a page, headings included; the rest is for caption and legend
HEADING = 4  # lines that a panel has besides its rows

DOCUMENT = r"""\documentclass{article}
\usepackage[a4paper, landscape, margin=15mm]{geometry}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage{siunitx}
\sisetup{
  detect-weight = true, mode = text,
  separate-uncertainty = true, retain-zero-uncertainty = true, table-align-uncertainty = true,
}
\setlength{\belowcaptionskip}{6pt}
\begin{document}
%s
\bibliographystyle{plain}
\bibliography{references}
\end{document}
"""


def escaped(text: str) -> str:
    """Plain text with every character that TeX gives a meaning to made literal."""
    return "".join(SPECIAL.get(sign, sign) for sign in text)


MARKS = Marks(
    dash="{--}", command="{{[{}]}}", raised=r"{} {{\textsuperscript{{{}}}}}", escape=escaped
)


def runs_text(cell: TableCell, notes: Footnotes | None) -> str:
    """The number of runs behind a number of ours, which the legend explains."""
    return rf"\,({len(cell.runs)})" if cell.runs and notes is not None and not cell.gap else ""


def text_behind(cell: TableCell, column: Column, row: Row, notes: Footnotes | None) -> str:
    """All that stands behind a number: its runs and its footnote marks."""
    if notes is None or cell.gap:
        return ""
    marks = cell_text(cell, column, row, notes, value="", marks=MARKS)
    return runs_text(cell, notes) + marks.strip()


def format_cell(
    cell: TableCell, column: Column, row: Row, shape: Shape, notes: Footnotes | None
) -> str:
    """One cell of an S column; without footnotes a number has no mark and a gap no command."""
    value = "" if cell.gap else number(cell, shape, runs_text(cell, notes))
    if notes is None:
        return value or ("" if cell.gap == "absent" else MARKS.dash)
    text = cell_text(cell, column, row, notes, value=value, marks=MARKS)
    return f"{{{text}}}" if cell.gap == "reason" else text


def group_key(column: Column) -> tuple[str, str, int]:
    """What columns under one heading share."""
    return column.heading, column.metric, column.shots


def headings(columns: Sequence[Column], first: Sequence[str], families: Sequence[str]) -> list[str]:
    """One or two heading lines: groups over their columns where groups have several."""
    grouped = [list(g) for _, g in groupby(columns, key=group_key)]

    def group_text(column: Column) -> str:
        arrow = column.arrow if column.kind == "paper" else ""
        text = f"{column.heading} {arrow}".strip()
        if column.kind == "paper" and len(families) > 1 and column.family:
            text += f" ({column.family})"
        return escaped(text)

    if all(len(g) == 1 for g in grouped):
        return [" & ".join([*first, *(f"{{{group_text(g[0])}}}" for g in grouped)]) + r" \\"]
    top = [rf"\multicolumn{{{len(g)}}}{{c}}{{{group_text(g[0])}}}" for g in grouped]
    start, rules = len(first) + 1, []
    for group in grouped:
        rules.append(rf"\cmidrule(lr){{{start}-{start + len(group) - 1}}}")
        start += len(group)
    words = [f"{{{escaped(c.protocol) or 'printed'}}}" for c in columns]
    blank = [""] * len(first)
    return [
        " & ".join([*blank, *top]) + r" \\",
        " ".join(rules),
        " & ".join([*first, *words]) + r" \\",
    ]


def tabular(panel: Panel, notes: Footnotes | None, families: Sequence[str]) -> str:
    """One panel."""
    mixed = len(families) > 1 and any(c.kind == "paper" and not c.family for c in panel.columns)
    first = ["method", "family"] if mixed and notes is not None else ["method"]
    columns = panel.columns
    shapes = []
    for number_, column in enumerate(columns):
        cells = [row.cells[number_] for row in panel.rows]
        behind = [text_behind(row.cells[number_], column, row, notes) for row in panel.rows]
        shapes.append(shape_of(cells, column.decimals, behind))
    types = " ".join(["l" * len(first), *(shape.column for shape in shapes)])
    lines = [rf"\begin{{tabular}}{{{types}}}", r"\toprule"]
    lines += [*headings(columns, first, families), r"\midrule"]
    ranked = True
    for row in panel.rows:
        if ranked and not row.ranked:
            lines.append(r"\midrule")
        ranked = row.ranked
        label = escaped(row.label) if row.ranked else rf"\emph{{{escaped(row.label)}}}"
        head = [label, escaped(row.family)][: len(first)]
        there = zip(columns, row.cells, shapes, strict=True)
        cells_ = [format_cell(cell, column, row, shape, notes) for column, cell, shape in there]
        lines.append(" & ".join([*head, *cells_]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    title = f"\\textbf{{{escaped(panel.title)}}}\\\\[2pt]\n" if panel.title else ""
    return title + "\n".join(lines)


def narrowed(panels: Sequence[Panel]) -> list[Panel]:
    """Panels of at most WIDE columns; those of one target stay together, and rows are repeated."""
    out = []
    for panel in panels:
        parts: list[list[int]] = [[]]
        places = range(len(panel.columns))
        for _, group in groupby(places, key=lambda i: group_key(panel.columns[i])):
            own = list(group)
            if parts[-1] and len(parts[-1]) + len(own) > WIDE:
                parts.append([])
            parts[-1] += own
        for n, part in enumerate(parts):
            rows = [replace(r, cells=tuple(r.cells[i] for i in part)) for r in panel.rows]
            title = f"{panel.title} (continued)" if n and panel.title else panel.title
            columns = tuple(panel.columns[i] for i in part)
            out.append(replace(panel, title=title, columns=columns, rows=tuple(rows)))
    return out


def pages(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Panels that fit on a page together."""
    out: list[list[Panel]] = []
    lines = PAGE
    for panel in panels:
        lines += len(panel.rows) + HEADING
        if lines > PAGE:
            out, lines = [*out, []], len(panel.rows) + HEADING
        out[-1].append(panel)
    return out


def below(table: Table, notes: Footnotes) -> list[str]:
    """Legend, remarks and commands."""
    remarks = [
        rf"\par \textsuperscript{{{letter(i)}}} {escaped(t)}" for i, t in enumerate(notes.remarks)
    ]
    head = [r"\par Not run yet; the command of that number fills the cell:"]
    commands = [rf"\par {{[{i}]}} \texttt{{{escaped(t)}}}" for i, t in enumerate(notes.commands, 1)]
    return [
        "",
        r"\medskip",
        r"\begin{minipage}{\textwidth}\footnotesize\raggedright",
        *(escaped(sentence) for sentence in (*table.legend, *table.left_out)),
        *remarks,
        *(head if commands else []),
        *commands,
        r"\end{minipage}",
    ]


def render_latex(table: Table, *, with_footnotes: bool = True) -> str:
    r"""Table environments to \input, one for each page; need booktabs and siunitx.

    `document` has a preamble that suits them. Legend and footnotes stand on the last page; without
    footnotes the caption is all that stands beside the numbers.
    """
    notes = footnotes(table) if with_footnotes else None
    cite = rf" \cite{{{','.join(table.cite)}}}" if table.cite else ""
    parts = [f"% Table {table.name} of fsig_bench; source: {' '.join(table.source.split())}"]
    there = pages(narrowed(table.panels))
    first = rf"\textbf{{{escaped(table.title)}}}{cite}. {escaped(table.caption)}"
    further = rf"This table continues Table~\ref{{tab:{table.name}}} ({escaped(table.title)})."
    for i, panels in enumerate(there):
        parts += [
            r"\begin{table}[p]",
            r"\centering",
            rf"\caption{{{first if i == 0 else further}}}",
            *([rf"\label{{tab:{table.name}}}"] if i == 0 else []),
            r"\small",
            "\n\n\\medskip\n".join(tabular(p, notes, table.families) for p in panels),
            *(below(table, notes) if notes and i == len(there) - 1 else []),
            r"\end{table}",
        ]
    return "\n".join(parts) + "\n"


def document(names: Sequence[str]) -> str:
    """A document that compiles by itself and shows the tables of these names."""
    return DOCUMENT % "\n".join(rf"\input{{{name}.tex}}" + "\n" + r"\clearpage" for name in names)
