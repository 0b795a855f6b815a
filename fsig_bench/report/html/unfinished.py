"""Runs that left a status and no record: those that failed, and those that still run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """What status.json says of a run without a record."""

    place: str  # below the results folder
    status: str
    error: str
    command: str
    time: str


def read_status(text: str, place: str) -> Unfinished:
    """A status file's content; an unreadable one is shown as such."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError(f"not an object but {type(found).__name__}")
    except ValueError as error:
        return Unfinished(
            place=place,
            status="unreadable",
            error=f"status.json cannot be read: {error}",
            command="",
            time="",
        )
    fields = {name: str(found.get(name) or "") for name in ("error", "command", "time")}
    return Unfinished(place=place, status=str(found.get("status") or "unknown"), **fields)


def unfinished(results: Path) -> list[Unfinished]:
    """Every run folder with a status and no record, failures first."""
    found = [
        read_status(path.read_text(errors="replace"), path.parent.relative_to(results).as_posix())
        for path in sorted((results / "runs").rglob("status.json"))
        if not (path.parent / "record.json").exists()
    ]
    return sorted(found, key=lambda u: (u.status != "failed", u.status, u.place))
