"""`python -m tools.results_tables`: the tables of README.md and docs/results.md.

Writes the tables of the committed records (results/reference) between the markers of both pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fsig_bench.report.markdown import table
from fsig_bench.report.records import load

ROOT = Path(__file__).resolve().parents[1]
MARKS = ("<!-- tables -->", "<!-- end of tables -->")
METRICS = {"README.md": ["fd"], "docs/results.md": ["fd", "intra_lpips"]}
SHOTS = 10  # of the records that the pages show


def between_marks(text: str, content: str) -> str:
    """The page with `content` between its markers.

    Raises:
        ValueError: the page has not each marker once.
    """
    if [text.count(mark) for mark in MARKS] != [1, 1]:
        raise ValueError(f"the page needs each of {' and '.join(MARKS)} once")
    before, rest = text.split(MARKS[0])
    return f"{before}{MARKS[0]}\n\n{content.strip()}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


def pages() -> Mapping[Path, str]:
    """Each page with the tables that the records give."""
    shown = [r for r in load([ROOT / "results" / "reference"]) if r["k"] == SHOTS]
    return {
        ROOT / name: between_marks(
            (ROOT / name).read_text(), "\n\n".join(table(shown, m).strip() for m in metrics)
        )
        for name, metrics in METRICS.items()
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
