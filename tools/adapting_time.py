"""`python -m tools.adapting_time`: the figure and the table of adapting times in docs/tuning.md.

The records are those of the commands in conf/experiment/adapting_time.yaml, in the folder
results/adapting_time. Without them the page says that there are none yet.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from fsig_bench.report.figures.adapting_time import (
    adapting_curves,
    adapting_table,
    draw_adapting_time,
    over_lengths,
)
from fsig_bench.report.figures.summaries import cards
from fsig_bench.report.records import load
from tools.results_tables import between_marks

ROOT = Path(__file__).resolve().parent.parent
RECORDS, PAGE = ROOT / "results" / "adapting_time", ROOT / "docs" / "tuning.md"
FIGURE = "adapting_time.svg"
NONE = (
    "The records of this figure are not committed yet, so neither it nor its table is shown here."
)
SHOWN = f"![Frechet distance against the seconds of adapting]({FIGURE})"


def section(records: Path) -> str:
    """What stands between the markers of the page."""
    if not records.is_dir():
        return NONE
    found = over_lengths(load([records]))
    return f"{SHOWN}\n\n{adapting_table(adapting_curves(found), cards(found))}"


def page() -> str:
    """The page with the figure and the table of the committed records."""
    return between_marks(PAGE.read_text(), section(RECORDS))


def draw(records: Path, folder: Path) -> None:
    """Draws the figure into a folder."""
    found = over_lengths(load([records]))
    with tempfile.TemporaryDirectory() as scratch:
        stem = Path(scratch) / "figure"
        draw_adapting_time(adapting_curves(found), cards(found), stem)
        shutil.copyfile(stem.with_suffix(".svg"), folder / FIGURE)


if __name__ == "__main__":
    PAGE.write_text(page())
    if RECORDS.is_dir():
        draw(RECORDS, PAGE.parent)
