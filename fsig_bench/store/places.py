"""Where a record's run and its stages lie below a results folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}")


def run_folder(results: Path, record: Mapping[str, Any]) -> Path | None:
    """The folder that the run left below `results`; None where it is not there."""
    parts = [str(record[part]) for part in ("suite", "method", "dataset")]
    parts.append(f"k{record['k']}-seed{record['seed']}-{record['run_id']}")
    if not all(PLAIN.fullmatch(part) for part in parts):  # a record must not lead elsewhere
        return None
    folder = results.joinpath("runs", *parts)
    return folder if folder.is_dir() else None


def stage_folder(results: Path, record: Mapping[str, Any], stage: str) -> Path | None:
    """The folder of a run's "adapt" or "sample" stage in the store; None where it is not there."""
    key = str(record.get("stages", {}).get(stage, ""))
    if not PLAIN.fullmatch(key):
        return None
    folder = results / "store" / stage / key[:16]
    return folder if folder.is_dir() else None
