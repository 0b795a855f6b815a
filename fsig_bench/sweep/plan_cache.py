"""Remembers which runs a job of a sweep asks for, so that a finished cell needs no composition.

Hydra takes about a tenth of a second to compose a config. Its result depends on the overrides, on
the files of conf/ and on the manifests of the weights; the sizes and times of these files enter the
key, and so do those of a user's own folders of config groups. A job whose data are files of the
user is never remembered, since those files may change.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fsig_bench.api.places import CONF, PACKAGE, ROOT
from fsig_bench.api.plain import JsonDict
from fsig_bench.api.weights import locate
from fsig_bench.runner import keys
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.fingerprint import LOCKS, targets_in
from fsig_bench.runner.source_files import OURS
from fsig_bench.store.files import seal
from fsig_bench.store.keys import STAGE_VERSION
from fsig_bench.sweep.plan import PlannedRun


def source_stamp(folders: Sequence[str] = ()) -> str:
    """Digest of the names, sizes and times of all files that a composition reads, code included.

    Args:
        folders: of config groups, besides ours, as Hydra names them.
    """
    files = [*CONF.rglob("*.yaml"), *(ROOT / "baselines").rglob("manifest.json")]
    files += [*PACKAGE.rglob("*.py"), *(ROOT / "baselines").rglob("*.py")]
    files += [ROOT / top / LOCKS for top in OURS if (ROOT / top / LOCKS).is_file()]
    for folder in folders:
        files += Path(folder.removeprefix("file://")).expanduser().rglob("*.yaml")
    found = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(files)]
    return hashlib.sha256(json.dumps([STAGE_VERSION, found, os.getcwd()]).encode()).hexdigest()


def cacheable(cell: Cell) -> bool:
    """Whether the runs of this job depend on the files of this repository alone."""
    if cell.config["reuse"] != "same_code":
        return False  # depends on the records that are there
    classes = targets_in(cell.computed_by)
    paths = keys.paths_in(cell.method.spec)
    return (
        getattr(cell.dataset, "is_computed", False)
        and not cell.assets
        and not any(locate(path).suffix != ".safetensors" for path in paths)
        and all(target.split(".")[0] in OURS for target in classes)
    )


class PlanCache:
    """The remembered jobs of one results folder.

    If its file cannot be read or written, jobs are composed again; nothing else is lost.
    """

    def __init__(self, root: Path, folders: Sequence[str] = ()) -> None:
        self.path, self.stamp = root / "store" / "plans.json", source_stamp(folders)
        # The files of a package's folder of config groups are not looked for.
        self.is_used = not any(folder.startswith("pkg://") for folder in folders)
        self.known: dict[str, list[JsonDict]] = {}
        self.changed = False
        with suppress(OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
            found = json.loads(self.path.read_bytes())
            given = found.pop("seal")
            if found["stamp"] == self.stamp and seal(found) == given:
                self.known = found["jobs"]

    def get(self, overrides: Sequence[str]) -> list[PlannedRun] | None:
        """The runs of a job: its cell, then its controls; None if they are not known."""
        found = self.known.get(json.dumps(list(overrides))) if self.is_used else None
        return None if found is None else [PlannedRun(**run) for run in found]

    def put(self, overrides: Sequence[str], runs: Sequence[PlannedRun]) -> None:
        self.known[json.dumps(list(overrides))] = [run.as_json() for run in runs]
        self.changed = True

    def save(self) -> None:
        """Writes the file if anything is new; of two writers at the same time the last one wins."""
        from fsig_bench.api.files import write_json

        if self.changed and self.is_used:
            with suppress(OSError):
                content = {"stamp": self.stamp, "jobs": self.known}
                write_json(self.path, content | {"seal": seal(content)})
