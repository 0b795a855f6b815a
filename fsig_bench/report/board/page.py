"""The page of the leaderboard: one HTML file that opens from disk and asks nothing of a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.api.files import write_bytes
from fsig_bench.api.plain import JsonDict
from fsig_bench.report.board.entries import Entry, found_entries
from fsig_bench.report.board.rows import RANKED, Row, board_cards, make_rows
from fsig_bench.report.board.versions import Version, frozen_versions

HERE = Path(__file__).parent
SHARED = HERE.parent / "html"
FIELDS = (
    ("version", "Version"),
    ("suite", "Suite"),
    ("protocol", "Protocol"),
    ("k", "Shots"),
    ("dataset", "Dataset"),
    ("method", "Method"),
    ("who", "Lab"),
    ("standing", "Standing"),
)


def version_rows(versions: Sequence[Version], entries: Sequence[Entry]) -> list[JsonDict]:
    """The tracks of each version, the newest version first, with the number of their runs."""
    return [
        {
            "version": version,
            "track": track,
            "runs": sum(e.version == version.name and e.track == track for e in entries),
        }
        for version in reversed(versions)
        for track in version.tracks
    ]


def choices(rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """The filters: field, heading, and the values that occur, numbers by size."""
    out = []
    for field, heading in FIELDS:
        found = sorted({getattr(row, field) for row in rows})
        out.append((field, heading, [str(value) for value in found]))
    return out


def joined(*paths: Path) -> str:
    """The texts of files, one after the other."""
    return "".join(path.read_text(encoding="utf-8") for path in paths)


def render(board: Path, versions: Sequence[Version], entries: Sequence[Entry]) -> str:
    """The page as HTML; what does not change leaves its bytes as they are."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cards = board_cards(entries)
    rows = make_rows(board, entries, cards)
    return templates.get_template("board.html").render(
        style=joined(SHARED / "style.css", HERE / "board.css"),
        script=joined(SHARED / "theme.js", HERE / "board.js"),
        rows=rows,
        cards=cards,
        ranking=[name for name, card in cards.items() if card.better in RANKED],
        filters=choices(rows),
        newest=versions[-1].name if versions else "",
        versions=version_rows(versions, entries),
        labs=len({row.who for row in rows}),
        runs=len(entries),
    )


def write_board(board: Path) -> tuple[Path, list[str]]:
    """Writes index.html, and returns its path and what is wrong with entries that it leaves out.

    Raises:
        ValueError: a version's file is damaged.
        OSError: the page cannot be written.
    """
    versions = frozen_versions(board)
    entries: list[Entry] = []
    problems: list[str] = []
    for version in versions:
        for folder, found in found_entries(board, version):
            if isinstance(found, str):
                problems.append(f"{folder}: {found}" if str(folder) not in found else found)
            else:
                entries.append(found)
    path = board / "index.html"
    write_bytes(path, render(board, versions, entries).encode())
    return path, problems
