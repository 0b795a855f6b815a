"""A table as LaTeX: booktabs rules, siunitx numbers, citations through BibTeX."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

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
WIDE = 8  # columns from which a table is shrunk to the width of the text
PAGE = 30  # lines of tables on a page, headings included; the rest is for caption and legend
HEADING = 4  # lines that a panel has besides its rows

DOCUMENT = r"""\documentclass{article}
\usepackage[a4paper, landscape, margin=15mm]{geometry}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{siunitx}
\sisetup{detect-weight = true, mode = text, separate-uncertainty = true}
\begin{document}
%s
\bibliographystyle{plain}
\bibliography{references}
\end{document}
"""


def escaped(text: str) -> str:
    """Plain text with every character that TeX gives a meaning to made literal."""
    return "".join(SPECIAL.get(sign, sign) for sign in text)


MARKS = Marks(dash="--", command="{{[{}]}}", raised=r"{}\textsuperscript{{{}}}", escape=escaped)


def number(cell: TableCell, decimals: int) -> str:
    """Value and spread in siunitx; best bold, second best underlined; runs in brackets."""
    inside = f"{cell.value:.{decimals}f}"
    if cell.std is not None:
        inside += rf" \pm {cell.std:.{decimals}f}"
    text = rf"\num{{{inside}}}"
    wrap = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}[cell.mark]
    runs = f" ({len(cell.runs)})" if cell.runs else ""
    return wrap % text + runs


def format_cell(cell: TableCell, column: Column, row: Row, notes: Footnotes) -> str:
    """One cell."""
    value = "" if cell.gap else number(cell, column.decimals)
    return cell_text(cell, column, row, notes, value=value, marks=MARKS)


def headings(columns: Sequence[Column], first: Sequence[str], families: Sequence[str]) -> list[str]:
    """One or two heading lines: groups over their columns where groups have several."""
    grouped = [list(g) for _, g in groupby(columns, key=lambda c: (c.heading, c.metric, c.shots))]

    def group_text(column: Column) -> str:
        arrow = column.arrow if column.kind == "paper" else ""
        text = f"{column.heading} {arrow}".strip()
        if column.kind == "paper" and len(families) > 1 and column.family:
            text += f" ({column.family})"
        return escaped(text)

    if all(len(g) == 1 for g in grouped):
        return [" & ".join([*first, *(group_text(g[0]) for g in grouped)]) + r" \\"]
    top = [rf"\multicolumn{{{len(g)}}}{{c}}{{{group_text(g[0])}}}" for g in grouped]
    start, rules = len(first) + 1, []
    for group in grouped:
        rules.append(rf"\cmidrule(lr){{{start}-{start + len(group) - 1}}}")
        start += len(group)
    words = [escaped(c.protocol) or "printed" for c in columns]
    blank = [""] * len(first)
    return [
        " & ".join([*blank, *top]) + r" \\",
        " ".join(rules),
        " & ".join([*first, *words]) + r" \\",
    ]


def tabular(panel: Panel, notes: Footnotes, families: Sequence[str]) -> str:
    """One panel."""
    mixed = len(families) > 1 and any(c.kind == "paper" and not c.family for c in panel.columns)
    first = ["method", "family"] if mixed else ["method"]
    columns = panel.columns
    lines = [rf"\begin{{tabular}}{{{'l' * len(first)}{'r' * len(columns)}}}", r"\toprule"]
    lines += [*headings(columns, first, families), r"\midrule"]
    ranked = True
    for row in panel.rows:
        if ranked and not row.ranked:
            lines.append(r"\midrule")
        ranked = row.ranked
        label = escaped(row.label) if row.ranked else rf"\emph{{{escaped(row.label)}}}"
        head = [label, escaped(row.family)][: len(first)]
        cells = [format_cell(c, col, row, notes) for col, c in zip(columns, row.cells, strict=True)]
        lines.append(" & ".join([*head, *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    body = "\n".join(lines)
    if len(columns) >= WIDE:
        body = f"\\resizebox{{\\textwidth}}{{!}}{{%\n{body}%\n}}"
    title = f"\\textbf{{{escaped(panel.title)}}}\\\\[2pt]\n" if panel.title else ""
    return title + body


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


def render_latex(table: Table) -> str:
    r"""Table environments to \input, one for each page; need booktabs, graphicx and siunitx.

    `document` has a preamble that suits them. Legend and footnotes stand on the last page.
    """
    notes = footnotes(table)
    cite = rf" \cite{{{','.join(table.cite)}}}" if table.cite else ""
    parts = [f"% Table {table.name} of fsig_bench; source: {' '.join(table.source.split())}"]
    there = pages(table.panels)
    for i, panels in enumerate(there):
        caption = rf"{escaped(table.title)}{cite}. {escaped(table.caption)}"
        parts += [
            r"\begin{table}[p]",
            r"\centering",
            rf"\caption{{{caption if i == 0 else escaped(table.title) + ' (continued).'}}}",
            *([rf"\label{{tab:{table.name}}}"] if i == 0 else []),
            r"\small",
            "\n\n\\medskip\n".join(tabular(p, notes, table.families) for p in panels),
            *(below(table, notes) if i == len(there) - 1 else []),
            r"\end{table}",
        ]
    return "\n".join(parts) + "\n"


def document(names: Sequence[str]) -> str:
    """A document that compiles by itself and shows the tables of these names."""
    return DOCUMENT % "\n".join(rf"\input{{{name}.tex}}" + "\n" + r"\clearpage" for name in names)
