"""Records that are damaged, forged or of others, put among whole ones: what do the readers do?

    PYTHONPATH=tests python tests/bench/hostile_records.py

Each case is a run folder of its own beside two whole records. `runs`, `report only=tables`,
`report verify`, `compare` and `load_records` read them all, and a sweep asks whether the run is
finished. Prints one row of a Markdown table; exit status 1 where something was accepted wrongly or
ended in a traceback.
"""

from __future__ import annotations

import contextlib
import csv
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile_cases import CASES, FOLDER, FORMULA, HTML, REFERENCE, Case

import fsig_bench
from fsig_bench.report import __main__ as report
from fsig_bench.report import compare
from fsig_bench.runs import main as runs
from fsig_bench.store.records import is_usable


def results_with(case: Case, root: Path) -> Path:
    """A results folder with two whole records and the hostile one, whose folder is returned."""
    for method in ("crdi", "copy"):
        (path,) = (REFERENCE / method / "babies").glob("k10-seed0-*/record.json")
        folder = root / "runs" / "mini" / method / "babies" / path.parent.name
        folder.mkdir(parents=True)
        (folder / "record.json").write_bytes(path.read_bytes())
    own = root / FOLDER
    own.mkdir(parents=True)
    case.place(own)
    return own


@contextlib.contextmanager
def captured() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """What is printed meanwhile."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        yield out, error


def readers(root: Path, *, quick: bool, verify: bool) -> dict[str, Callable[[], object]]:
    """What reads records, by name; each has to finish whatever lies in the folder."""
    own = f"results_dir={root}"
    found = {
        "runs": lambda: runs([own]),
        "report": lambda: report.main(["only=tables", own]),
        "compare": lambda: compare.main(["crdi", "copy", own]),
        "load_records": lambda: fsig_bench.load_records(root),
    }
    if quick:  # the others read by the same function
        found = {"runs": found["runs"], "report": found["report"]}
    return found | ({"verify": lambda: report.main(["verify", own])} if verify else {})


def outcome(
    case: Case, root: Path, *, quick: bool = False, verify: bool = False
) -> tuple[str, str]:
    """ "skipped", "shown", "accepted" (wrongly), "silent" or "traceback", and details of it."""
    own = results_with(case, root)
    path = own / "record.json"
    printed = ""
    for name, read in readers(root, quick=quick, verify=verify).items():
        with captured() as (out, error):
            try:
                read()
            except Exception as raised:
                return "traceback", f"{name}: {raised!r}"
        text = out.getvalue() + error.getvalue()
        if case.skipped and name == "report" and not path.is_dir() and str(own) not in text:
            return "silent", f"{name} names no {own.name}"
        printed += text
    if is_usable(path) == case.skipped:
        return ("accepted" if case.skipped else "silent"), "as the record of a finished run"
    made = {p.suffix: p.read_text() for p in sorted((root / "tables").glob("main.*"))}
    if wrong := raw_text(made, printed):
        return "accepted", wrong
    return ("skipped" if case.skipped else "shown"), ""


def raw_text(made: dict[str, str], printed: str) -> str:
    """What stands unescaped in written tables (by suffix) or on the terminal, or ""."""
    for text in (made.get(".md", ""), printed):
        if HTML in text.replace("\\<", ""):
            return "HTML as it is"
        if "](javascript:" in text:
            return "a link as it is"
    if r"\input{/etc" in made.get(".tex", ""):
        return "LaTeX as it is"
    for row in csv.reader(io.StringIO(made.get(".csv", ""))):
        if any(cell.startswith(FORMULA[0]) for cell in row):
            return "a formula as it is"
    return "the screen is cleared" if "\x1b" in printed else ""


def main(*, verify: bool = False) -> bool:
    """Prints the row; true where nothing was accepted wrongly and nothing ended in a traceback.

    Args:
        verify: whether `report verify` reads each case too, which takes seconds a case.
    """
    counts = dict.fromkeys(("skipped", "shown", "accepted", "silent", "traceback"), 0)
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            found, why = outcome(case, Path(folder), verify=verify)
        counts[found] += 1
        if found in ("accepted", "silent", "traceback"):
            print(f"{case.name}: {found}: {why}", file=sys.stderr)
    wrong = counts["accepted"] + counts["silent"]
    print(
        f"| hostile records | {len(CASES)} tried | {counts['skipped']} skipped with the reason, "
        f"{counts['shown']} whole ones shown escaped | {wrong} wrongly accepted | "
        f"{counts['traceback']} tracebacks |"
    )
    return wrong + counts["traceback"] == 0


if __name__ == "__main__":
    raise SystemExit(not main(verify="verify" in sys.argv[1:]))
