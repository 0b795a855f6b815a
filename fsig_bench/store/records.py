"""Records on disk, and what names a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsig_bench.api.files import write_json
from fsig_bench.store.files import seal


def read_record(path: Path) -> dict[str, Any]:
    """A record, checked against the seal that it carries (those of version 1 carry none).

    Raises:
        ValueError: it is damaged; the file is named, with the remedy.
    """
    remedy = "delete it and run the same command again: its pieces are in the store"
    try:
        record = json.loads(path.read_bytes())
        given = record.pop("seal", None)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    if given is None and record.get("record_version", 1) == 1 and "run_id" in record:
        return with_draw(record)
    if seal(record) != given:
        raise ValueError(f"{path} is damaged or was edited; {remedy}")
    return with_draw(record) | {"seal": given}


def with_draw(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its draw seed; up to version 2 the seed was that of sampling as well."""
    return {**record, "draw": record.get("draw", record.get("seed"))}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a record with its seal."""
    whole = json.loads(json.dumps({k: v for k, v in record.items() if k != "seal"}))
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


def recorded_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's settings without those that say only where and how fast it ran."""
    return {k: v for k, v in config.items() if k not in NOT_IN_RECORD}


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
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


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """A config node as dotted keys."""
    if not isinstance(node, Mapping):
        return {path: node}
    parts = [flat(v, f"{path}.{k}" if path else str(k)) for k, v in node.items()]
    return {k: v for part in parts for k, v in part.items()}


def speed_only(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings of a method's node that change its speed only, as its card declares."""
    card = node.get("card")
    return tuple(card.get("speed_only", ())) if isinstance(card, Mapping) else ()
