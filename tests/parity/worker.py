"""Compares with one repository, in a process of its own: python -m parity.worker NAME ROOT OUT.

OUT gets the rows and the versions as JSON; what upstream prints goes to the terminal.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

import torch
from parity.rows import Row, failed
from parity.upstream import REPOSITORIES

HERE = Path(__file__).resolve().parent
Case = Callable[[], Iterator[Row]]


def rows_of(case: Case) -> Iterator[Row]:
    """A case's rows; one that says why, where the case breaks off."""
    torch.manual_seed(0)
    start = time.process_time()
    try:
        for row in case():
            yield replace(row, seconds=round(time.process_time() - start, 2))
            start = time.process_time()
    except (Exception, SystemExit) as error:  # upstream code may raise anything
        traceback.print_exc()
        name = case.__name__.replace("_", " ")
        yield failed(name, f"{type(error).__name__}: {error}")


def main() -> None:
    """Writes the rows of a repository's cases."""
    name, folder, out = sys.argv[1:]
    cases: list[Case] = import_module(f"parity.against_{name}").CASES
    import_module("fsig_bench.api")  # ours before upstream's folders come first
    sys.path[:] = [p for p in sys.path if not p or Path(p).resolve() != HERE.parent]
    if name in REPOSITORIES:
        roots = REPOSITORIES[name].roots
        sys.path[:0] = [str((Path(folder) / root).resolve()) for root in roots]
    sys.argv[1:] = []  # upstream parses it
    rows = [row for case in cases for row in rows_of(case)]
    packages = import_module("parity.against_packages").versions() if folder == "-" else ""
    versions = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    told = {"rows": [asdict(row) for row in rows], "versions": versions, "packages": packages}
    Path(out).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
