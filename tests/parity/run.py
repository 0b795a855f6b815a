"""Compares ours with upstream code: python tests/parity/run.py [only=crdi,cdc] [write=true]

Give checkouts of upstream repositories by environment variables, FSIG_UPSTREAM_CRDI=PATH and so on;
docs/parity.md lists them. write=true puts the table into that page.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE) in sys.path:  # started as a script: our files would hide upstream's of equal names
    sys.path.remove(str(HERE))
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from parity.page import Compared, renewed, terminal  # noqa: E402
from parity.rows import Row, failed  # noqa: E402
from parity.upstream import REPOSITORIES, checkout, commit, why_not  # noqa: E402

ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "parity.md"
PACKAGES = "packages"
NAMES = (*REPOSITORIES, PACKAGES)


def compared(name: str) -> Compared:
    """All cases of a repository, run in a process of their own."""
    repository = REPOSITORIES.get(name)
    folder = checkout(repository) if repository else Path("-")
    paths = [str(ROOT), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "rows.json"
        words = [sys.executable, "-W", "ignore", "-m", "parity.worker", name, str(folder), str(out)]
        done = subprocess.run(words, cwd=scratch, env=env, capture_output=True, text=True)
        if not out.exists():
            reason = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
            rows, versions, more = [failed(name, reason)], {}, ""
        else:
            told = json.loads(out.read_text())
            rows, versions = [Row(**row) for row in told["rows"]], told["versions"]
            more = told["packages"]
    if not all(row.holds for row in rows):
        sys.stderr.write(done.stderr)
    if repository is None:
        return Compared(
            name=name, title="Packages of the registry", commit=more, rows=rows, versions=versions
        )
    return Compared(
        name=name, title=repository.title, commit=commit(folder), rows=rows, versions=versions
    )


def main(words: list[str]) -> int:
    """Exit status: 1 where something differs."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    if len(given) < len(words) or not set(given) <= {"only", "write"}:
        print(__doc__)
        return 2
    names = given["only"].split(",") if "only" in given else list(NAMES)
    if unknown := set(names) - set(NAMES):
        print(f"unknown: {sorted(unknown)}; choose from {', '.join(NAMES)}")
        return 2
    found = []
    for name in names:
        reason = why_not(REPOSITORIES[name]) if name in REPOSITORIES else None
        if reason:
            print(f"{name} is left out: {reason}", file=sys.stderr)
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        found.append(compared(name))
    print(terminal(found))
    if given.get("write") == "true":
        try:
            PAGE.write_text(renewed(PAGE.read_text(), found))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
    return 0 if all(part.holds for part in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
