"""A table as Markdown: readable as plain text and on a page."""

from __future__ import annotations

from collections.abc import Sequence

from fsig_bench.report.tables.footnotes import Footnotes, Marks, cell_text, footnotes, letter
from fsig_bench.report.tables.model import Column, Panel, Row, Table, TableCell


def escaped(text: str) -> str:
    """Text that cannot end a cell or start markup."""
    for sign in ("\\", "|", "*", "_", "<"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("](", "]\\(")


def line_text(text: str) -> str:
    """Text of a record in a line of compact Markdown: it ends no cell and starts no tag or link."""
    return text.replace("|", "\\|").replace("<", "\\<").replace("](", "]\\(")


def grid_markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text."""
    rule = "|---|" + "--:|" * (len(head) - 1)
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(x)} |" for x in lines)])


MARKS = Marks(dash="-", command="[{}]", raised="{} <sup>{}</sup>", escape=str)


def value_text(cell: TableCell, decimals: int) -> str:
    """Value and spread."""
    text = f"{cell.value:.{decimals}f}"
    return text if cell.std is None else f"{text} ± {cell.std:.{decimals}f}"


def number(cell: TableCell, decimals: int) -> str:
    """Value and spread; best bold, second best underlined; runs in brackets."""
    text = value_text(cell, decimals)
    text = {"best": f"**{text}**", "second": f"<u>{text}</u>", "": text}[cell.mark]
    return f"{text} ({len(cell.runs)})" if cell.runs else text


def format_cell(cell: TableCell, column: Column, row: Row, notes: Footnotes) -> str:
    """One cell."""
    value = "" if cell.gap else number(cell, column.decimals)
    return cell_text(cell, column, row, notes, value=value, marks=MARKS)


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A padded Markdown table; the first `left` columns are text, the others numbers."""
    lines = [header, *rows]
    widths = [max(3, *(len(line[j]) for line in lines)) for j in range(len(header))]

    def padded(line: Sequence[str]) -> str:
        pairs = enumerate(zip(line, widths, strict=True))
        return " | ".join(t.ljust(w) if j < left else t.rjust(w) for j, (t, w) in pairs)

    rule = [("-" * w) if j < left else "-" * (w - 1) + ":" for j, w in enumerate(widths)]
    body = [f"| {padded(line)} |" for line in (header, rule, *rows)]
    return "\n".join(body)


def heading(column: Column, single: bool) -> str:
    """What stands over a column."""
    if column.kind == "paper":
        return f"{escaped(column.heading)} {column.arrow}".strip()
    return escaped(column.heading) if single else column.protocol


def panel_lines(panel: Panel, notes: Footnotes, families: Sequence[str]) -> str:
    """One grid, with its title above it."""
    single = len({c.kind for c in panel.columns}) == 1
    mixed = len(families) > 1 and any(c.kind == "paper" and not c.family for c in panel.columns)
    header = ["method", "family"] if mixed else ["method"]
    for column in panel.columns:
        text = heading(column, single)
        if column.kind == "paper" and len(families) > 1 and column.family:
            text += f" ({column.family})"
        header.append(text)
    rows = []
    for row in panel.rows:
        label = escaped(row.label) if row.ranked else f"*{escaped(row.label)}*"
        if row.harness_method and any(c.kind == "paper" for c in panel.columns):
            label += f" (`{row.harness_method}`)"
        cells = [
            format_cell(c, col, row, notes) for col, c in zip(panel.columns, row.cells, strict=True)
        ]
        rows.append([label, row.family, *cells] if mixed else [label, *cells])
    table = grid(header, rows, 2 if mixed else 1)
    return f"**{escaped(panel.title)}**\n\n{table}" if panel.title else table


def render_panel(panel: Panel) -> str:
    """One panel as compact lines, its title over the rows' names; values alone, a dash for gaps."""
    lines = [[line_text(t) for t in (panel.title, *(c.heading for c in panel.columns))]]
    for row in panel.rows:
        pairs = zip(panel.columns, row.cells, strict=True)
        values = ["-" if cell.gap else value_text(cell, col.decimals) for col, cell in pairs]
        lines.append([line_text(row.label), *values])
    head, *rows = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|---|" + "--:|" * len(panel.columns), *rows])


def render_markdown(table: Table) -> str:
    """The whole table with title, caption, legend, footnotes and commands."""
    notes = footnotes(table)
    parts = [
        f"## {escaped(table.title)}",
        escaped(table.caption),
        f"Source: {escaped(table.source)}",
    ]
    parts += [panel_lines(panel, notes, table.families) for panel in table.panels]
    parts.append("\n".join(f"- {escaped(sentence)}" for sentence in table.legend))
    if notes.remarks:
        lines = [f"- <sup>{letter(i)}</sup> {escaped(t)}" for i, t in enumerate(notes.remarks)]
        parts.append("\n".join(lines))
    if table.verdicts:
        parts.append("Re-run numbers beside the printed ones:")
        parts.append("\n".join(f"- {escaped(sentence)}" for sentence in table.verdicts))
    if notes.commands:
        parts.append("Not run yet; the command of that number fills the cell:")
        parts.append("\n".join(f"{i}. `{text}`" for i, text in enumerate(notes.commands, 1)))
    parts += [escaped(sentence) for sentence in table.left_out]
    return "\n\n".join(part for part in parts if part) + "\n"
