"""The table of rows: on the terminal, and in docs/parity.md, a section for each repository."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from parity.rows import Row

HEAD = ("quantity", "official", "ours", "largest difference", "tolerance", "")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """All rows of one repository, or of the registry's packages."""

    name: str
    title: str
    commit: str  # or the packages' versions
    rows: Sequence[Row]
    versions: dict[str, Any]

    @property
    def holds(self) -> bool:
        return bool(self.rows) and all(row.holds for row in self.rows)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text; a failed one is named as such."""
    difference = "0" if row.difference == 0 else f"{row.difference:.1e}"
    note = row.note if row.holds else f"DIFFERS {row.worst} {row.note}".strip()
    return row.quantity, row.official, row.ours, difference, row.tolerance, note


def terminal(found: Iterable[Compared]) -> str:
    """One table, its columns aligned."""
    lines = [("repository", *HEAD, "commit")]
    for part in found:
        lines += [(part.title, *cells(row), part.commit) for row in part.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def section(part: Compared) -> str:
    """A repository's section of the page."""
    versions = ", ".join(f"{k} {v}" for k, v in part.versions.items())
    body = [f"| {' | '.join(HEAD)} |", "|---|--:|--:|--:|--:|---|"]
    body += [f"| {' | '.join(cells(row))} |" for row in part.rows]
    return "\n".join(
        ["", f"### {part.title}, {part.commit}", "", f"With {versions}.", "", *body, ""]
    )


def renewed(page: str, found: Sequence[Compared]) -> str:
    """The page with the sections of the repositories that were compared; others stay.

    Raises:
        ValueError: a row differs, a commit is unknown or changed, or the page has no such markers.
    """
    for part in found:
        if not part.holds:
            bad = [row.quantity for row in part.rows if not row.holds]
            raise ValueError(f"{part.title}: {bad} differ, so that nothing is written")
        if part.commit == "unknown" or part.commit.endswith("changed"):
            raise ValueError(
                f"{part.title}: the checkout's commit is {part.commit}; give a checkout made by "
                "git clone, unchanged, so that others can repeat the numbers"
            )
        marks = rf"(<!-- parity {part.name} -->\n).*?(<!-- end of {part.name} -->)"
        around = re.findall(marks, page, flags=re.S)
        if len(around) != 1:
            raise ValueError(f"the page holds {len(around)} sections for {part.name}, and not one")
        whole = section(part).join(around[0])
        page = re.sub(marks, lambda _, whole=whole: whole, page, flags=re.S)
    return page
