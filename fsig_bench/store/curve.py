"""curve.jsonl: the points of an adaptation's curve, a line each, sealed one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fsig_bench.api.files import append_line
from fsig_bench.api.plain import JsonDict
from fsig_bench.store.files import seal

SEAL_DIGITS = 8


def append_point(file: Path, point: Mapping[str, float]) -> None:
    """Adds a point, with its seal."""
    values = json.loads(json.dumps(dict(point)))
    append_line(file, json.dumps(values | {"seal": seal(values)[:SEAL_DIGITS]}))


def read_curve(file: Path) -> list[JsonDict]:
    """The points in order; lines that are cut off, damaged or not sealed are left out."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            point = json.loads(line)
            given = point.pop("seal")
        except (ValueError, AttributeError, KeyError, RecursionError):
            continue
        if seal(point)[:SEAL_DIGITS] == given:
            found.append(point)
    return found
