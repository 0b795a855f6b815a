"""Runs without a record that can be used: those that failed, still run, or are damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fsig_bench.console import printable
from fsig_bench.store.index import entries
from fsig_bench.store.status import read_status


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """The content of status.json, of a run without a record that can be used."""

    place: str  # below the results folder
    status: str
    error: str
    command: str
    time: str


def unfinished_run(folder: Path, results: Path) -> Unfinished:
    """The run in a folder by its status file; an unreadable file is shown as such."""
    found = read_status(folder)
    fields = {name: str(found.get(name) or "") for name in ("error", "command", "time")}
    place = folder.relative_to(results).as_posix()
    return Unfinished(place=place, status=str(found.get("status") or "unknown"), **fields)


def unfinished_runs(results: Path) -> list[Unfinished]:
    """Every run folder with a status and no record or with a damaged one, failures first."""
    damaged = [
        Unfinished(
            place=entry.path.parent.relative_to(results).as_posix(),
            status="damaged",
            error=printable(entry.problem),
            command="",
            time="",
        )
        for entry in entries(results / "runs", short=False)
        if entry.problem
    ]
    found = damaged + [
        unfinished_run(path.parent, results)
        for path in sorted((results / "runs").rglob("status.json"))
        if not (path.parent / "record.json").exists()
    ]
    return sorted(found, key=lambda u: (u.status != "failed", u.status, u.place))
