"""Stages that other code made: who asks for them, and how the code has changed since.

Keys hold the code (`fsig_bench.runner.fingerprint`), so edited code never meets an older state or
older samples. `reuse=any_code` looks for them all the same, by the settings alone: records hold the
keys that their stages would have if the code decided nothing. The record of such a run names the
borrowed keys, and its run id follows from them, so it is never taken for a run of today's code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fsig_bench.api.plain import Record
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.fingerprint import changed_files
from fsig_bench.store.records import read_record
from fsig_bench.store.store import Store

STAGES = ("sample", "adapt")  # samples stand for their state as well


def borrow(cell: Cell, store: Store) -> Cell:
    """The cell, with the keys of stages that other code made from the same settings.

    What today's code has made itself is preferred; of several others the record written last.
    """
    own = {"adapt": store.adapt_folder(cell.adapt_key) / "state.safetensors"}
    own["sample"] = store.sample_folder(cell.sample_key)
    if own["sample"].exists():
        return cell
    wanted = cell.settings_keys()
    records = list(_records_near(cell, store))
    for stage in STAGES:
        if own[stage].exists():
            return cell
        for record in records:
            if record.get("settings_keys", {}).get(stage) == wanted[stage]:
                found = {name: str(record["stages"][name]) for name in _with_earlier(stage)}
                if all(_is_there(name, key, store) for name, key in found.items()):
                    return replace(cell, borrowed=found)
    return cell


def _with_earlier(stage: str) -> tuple[str, ...]:
    return ("adapt", "sample") if stage == "sample" else ("adapt",)


def _is_there(stage: str, key: str, store: Store) -> bool:
    if stage == "adapt":
        return (store.adapt_folder(key) / "state.safetensors").exists()
    return store.sample_folder(key).exists()


def _records_near(cell: Cell, store: Store) -> Iterator[Record]:
    """Whole records of the cell's method and dataset, the last written first."""
    folder = (store.root / cell.folder).parent
    files = sorted(folder.glob("*/record.json"), key=lambda p: -p.stat().st_mtime_ns)
    for path in files:
        try:
            yield read_record(path)
        except (ValueError, OSError):
            continue  # `runs` names it


def code_changes(record: Record) -> list[str]:
    """Sentences on how today's code differs from a record's; none where it is the same."""
    code = record.get("code")
    if code is None:
        return ["the record is of a version that did not note its code"]
    changed = changed_files(code)
    return [f"changed since: {', '.join(changed)}"] if changed else []
