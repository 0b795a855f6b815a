"""Records on disk, and what names a run."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from fsig_bench.api.files import write_json
from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.store.files import seal
from fsig_bench.store.schema import check_depth, check_printable, check_record

REMEDY = "delete it and run the same command again: its pieces are in the store"
MOST_BYTES = 32 * 2**20
RUN_FOLDER = re.compile(r"k(?P<k>\d+)-seed(?P<seed>\d+)-(?P<run_id>.+)")
ESCAPED = re.compile(rb"\\u(?:00[01789]|[dD][89a-fA-F])")  # of what `schema.UNPRINTABLE` forbids


def read_record(path: Path) -> Record:
    """A record, checked against the seal that it carries (those of version 1 carry none).

    Its fields are those that reports need (`fsig_bench.store.schema`), and its folder is its own.

    Raises:
        ValueError: it is damaged or foreign; the file is named, with the reason and the remedy.
        OSError: the file is not there or cannot be read.
    """
    data = _record_bytes(path)
    try:
        record = json.loads(data.decode())
        if not isinstance(record, dict):
            raise ValueError(f"it holds no object but {type(record).__name__}")
        check_depth(record)
        if b"\x7f" in data or b"\xc2" in data or ESCAPED.search(data):
            check_printable(record)
        given = record.pop("seal", None)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({_short(error)}); {REMEDY}") from error
    first_version = given is None and record.get("record_version", 1) == 1 and "run_id" in record
    if not first_version and seal(record) != given:
        raise ValueError(f"{path} is damaged or was edited; {REMEDY}")
    try:
        check_record(record)
        _check_place(path, record)
    except ValueError as error:
        message = f"{path} is no record that can be used here ({_short(error)}); {REMEDY}"
        raise ValueError(message) from error
    return with_draw(record) if first_version else with_draw(record) | {"seal": given}


_named: set[str] = set()  # what has been printed


def usable_record(path: Path) -> Record | None:
    """The record of a finished run; None, with a line that names the file, where it is unusable."""
    from fsig_bench.console import console, printable

    if not path.exists():
        return None
    try:
        return read_record(path)
    except (ValueError, OSError) as error:
        if (message := str(error)) not in _named:  # several stages of a command ask for a record
            _named.add(message)
            console.print(f"the run counts as unfinished: {printable(message)}")
        return None


def is_usable(path: Path) -> bool:
    """Whether a file is the record of a finished run."""
    try:
        read_record(path)
    except (ValueError, OSError):
        return False
    return True


def _short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def _record_bytes(path: Path) -> bytes:
    """The bytes of a regular file of a record's size; nothing else is opened for long."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path} is damaged (it is no regular file); {REMEDY}")
        if found.st_size > MOST_BYTES:
            size = f"{found.st_size / 2**20:.0f} MiB, a record has at most {MOST_BYTES / 2**20:.0f}"
            raise ValueError(f"{path} is damaged ({size}); {REMEDY}")
        return file.read(MOST_BYTES + 1)


def _check_place(path: Path, record: Record) -> None:
    """Raises ValueError where a record lies in the folder of another run."""
    if not (found := RUN_FOLDER.fullmatch(path.parent.name)):
        return
    own = {"k": str(record["k"]), "seed": str(record["seed"]), "run_id": record["run_id"]}
    there = found.groupdict()
    if path.parts[-6:-5] == ("runs",):
        own |= {part: record[part] for part in ("suite", "method", "dataset")}
        there |= dict(zip(("suite", "method", "dataset"), path.parts[-5:-2], strict=True))
    wrong = [f"{key} {own[key]}" for key in own if own[key] != there[key]]
    if wrong:
        raise ValueError(f"it lies in the folder of another run: the record has {wrong[0]}")


def with_draw(record: Record) -> Record:
    """A record with its draw seed; see `draw_of`."""
    return {**record, "draw": draw_of(record)}


def draw_of(record: Record) -> int | None:
    """A record's draw seed; up to version 2 the seed was that of sampling as well."""
    return record.get("draw", record.get("seed"))


def write_record(path: Path, record: Record) -> None:
    """Writes a record with its seal."""
    whole = json.loads(json.dumps({k: v for k, v in record.items() if k != "seal"}))
    check_record(whole)  # what `read_record` would refuse is not written
    write_json(path, whole | {"seal": seal(whole)})


NOT_IN_RECORD = (
    "results_dir",
    "device",
    "batch_size",
    "workers",
    "checkpoint_s",
    "tracker",
    "png",
    "preflight",
    "on_busy",
    "on_failed",
    "dry_run",
    "reuse",
)


def recorded_settings(config: Json) -> JsonDict:
    """A cell's settings without those that say only where and how fast it ran."""
    return {k: v for k, v in config.items() if k not in NOT_IN_RECORD}


def identity(config: Json) -> JsonDict:
    """Suite, method, dataset, k, subset, seed, draw, protocol: what a run is called by."""
    return {
        "suite": config["suite"]["name"],
        "method": config["method"]["card"]["name"],
        "dataset": config["dataset"]["name"],
        "k": config["k"],
        "seed": config["seed"],
        "subset": config["subset"],
        "draw": config.get("draw", config["seed"]),
        "protocol": config["protocol"]["name"],
    }


def flat(node: object, path: str = "") -> JsonDict:
    """A config node as dotted keys."""
    if not isinstance(node, Mapping):
        return {path: node}
    parts = [flat(v, f"{path}.{k}" if path else str(k)) for k, v in node.items()]
    return {k: v for part in parts for k, v in part.items()}


# The settings that change speed only in records of cards that declare none.
UNDECLARED = ("groups_at_once", "checkpointing")


def speed_only(node: Json) -> tuple[str, ...]:
    """The settings of a method's node that change its speed only, as its card declares."""
    card = node.get("card")
    return tuple(card.get("speed_only", UNDECLARED)) if isinstance(card, Mapping) else ()
