"""`python -m fsig_bench.tables [NAME ...] [--out DIR] [--records FOLDER ...]`: paper tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fsig_bench.report import load
from fsig_bench.tables import table_names, write_tables


def main(words: Sequence[str] | None = None) -> None:
    """Writes the tables and prints where they are."""
    parser = argparse.ArgumentParser(prog="python -m fsig_bench.tables", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(table_names()))
    parser.add_argument("--out", type=Path, default=Path("results/tables"))
    parser.add_argument("--records", type=Path, nargs="+", default=[Path("results/runs")])
    given = parser.parse_args(words)
    there = any(path for folder in given.records for path in folder.rglob("*.json"))
    records = load(given.records) if there else []  # printed numbers need none
    if not records:
        print(f"no record below {', '.join(map(str, given.records))}: printed numbers only")
    for path in write_tables(records, given.out, given.names or None):
        print(path)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
