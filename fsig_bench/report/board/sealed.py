"""JSON files of the leaderboard: sealed as records are, checked for their fields when read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fsig_bench.api.files import write_json
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.store.checks import Check, line
from fsig_bench.store.files import seal
from fsig_bench.store.schema import check_depth, check_printable

MOST_BYTES = 64 * 2**20
LONGEST_NAME = 80  # characters in the name of a lab


def with_seal(value: Json) -> JsonDict:
    """A value of plain JSON with the digest of all of its fields."""
    whole = json.loads(json.dumps({k: v for k, v in value.items() if k != "seal"}))
    return dict(whole) | {"seal": seal(whole)}


def write_sealed(path: Path, value: Json) -> None:
    """Writes a value with its seal, whole or not at all."""
    write_json(path, with_seal(value))


def parse_sealed(data: bytes, *, name: str, fits: Check, remedy: str) -> JsonDict:
    """The value of a sealed file, without the seal.

    Args:
        data: the file's content.
        name: of the file, for messages.
        fits: what is wrong with the value's fields, or None.
        remedy: what to do about a damaged file.

    Raises:
        ValueError: it is no JSON object, its seal does not fit, or a field is wrong.
    """
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"it has {len(data)} bytes, at most {MOST_BYTES} are read")
        value = json.loads(data.decode())
        if not isinstance(value, dict):
            raise ValueError(f"it holds no object but {type(value).__name__}")
        check_depth(value)
        check_printable(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged ({str(error)[:200]}); {remedy}") from error
    given = value.pop("seal", None)
    if given != seal(value):
        raise ValueError(f"{name} was edited: its seal does not fit its content; {remedy}")
    if wrong := fits(value):
        raise ValueError(f"{name} is not {wrong}; {remedy}")
    return value


def read_sealed(path: Path, *, fits: Check, remedy: str) -> JsonDict:
    """The value of a sealed file on disk; see `parse_sealed`.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    return parse_sealed(path.read_bytes(), name=str(path), fits=fits, remedy=remedy)


def lab_name(value: object) -> str | None:
    """A check of `store.checks`: the name of a lab, as pages show it."""
    fits = line(value) is None and isinstance(value, str) and len(value) <= LONGEST_NAME
    if fits and isinstance(value, str) and value.isprintable() and value == value.strip():
        return None
    return f"a name of 1 to {LONGEST_NAME} printable characters"


def moment(value: object) -> str | None:
    """A check of `store.checks`: a time with its zone, as ISO 8601 writes it."""
    try:
        fits = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        fits = False
    return None if fits else "a time such as 2026-01-31T12:00:00+00:00"


def exactly(wanted: object) -> Callable[[object], str | None]:
    """A check of `store.checks`: this value and no other."""
    return lambda value: None if value == wanted else f"{wanted!r} (it is {str(value)[:40]!r})"
