"""Remembers which runs a sweep's job stands for, so that a finished cell costs no composition.

Hydra composes a config in about a tenth of a second. The answer depends on the overrides and on the
files of conf/ and the weights' manifests, whose sizes and times enter the key. Jobs that read the
user's own files are never remembered, since those may change.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsig_bench.api.places import CONF, PACKAGE, ROOT
from fsig_bench.runner.cell import Cell
from fsig_bench.store.keys import STAGE_VERSION
from fsig_bench.sweep.plan import Planned


def stamps() -> str:
    """Digest of the names, sizes and times of everything that a composition reads, code too."""
    files = [*CONF.rglob("*.yaml"), *(ROOT / "baselines").rglob("manifest.json")]
    files += PACKAGE.rglob("*.py")
    seen = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(files)]
    return hashlib.sha256(json.dumps([STAGE_VERSION, seen, os.getcwd()]).encode()).hexdigest()


def cacheable(cell: Cell) -> bool:
    """Whether nothing but conf/ and the repository's own files decides this job's runs."""
    files = [v for v in (cell.method.spec.get("images") or {}).values() if isinstance(v, str)]
    return getattr(cell.dataset, "is_computed", False) and not cell.assets and not files


class Memo:
    """The jobs of one results folder; a file that cannot be read or written is no harm."""

    def __init__(self, root: Path) -> None:
        self.path, self.stamps = root / "store" / "plans.json", stamps()
        self.known: dict[str, list[dict[str, Any]]] = {}
        self.changed = False
        with suppress(OSError, ValueError, AttributeError):
            found = json.loads(self.path.read_text())
            if found.get("stamps") == self.stamps:
                self.known = found["jobs"]

    def get(self, words: Sequence[str]) -> list[Planned] | None:
        """The runs of a job: its cell, then its controls."""
        found = self.known.get(json.dumps(list(words)))
        return None if found is None else [Planned(**run) for run in found]

    def put(self, words: Sequence[str], runs: Sequence[Planned]) -> None:
        self.known[json.dumps(list(words))] = [run.plain() for run in runs]
        self.changed = True

    def keep(self) -> None:
        """Writes what is new; of two writers the last wins, which costs the other's work only."""
        from fsig_bench.api.files import write_json

        if self.changed:
            with suppress(OSError):
                write_json(self.path, {"stamps": self.stamps, "jobs": self.known})
