"""Reading records, and what may share a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Json, Record
from fsig_bench.console import printable
from fsig_bench.store.index import entries as index_entries
from fsig_bench.store.records import draw_of, read_record
from fsig_bench.words import existing_folder

KINDS = {"method": 0, "control": 1}  # in the order of rows
MOST_NAMED = 20  # files that are left out


@cache
def method_cards() -> Mapping[str, Json]:
    """The cards in conf/method by the method's name, as their files have them, in a fixed order."""
    import yaml

    found = {}
    for path in sorted((CONF / "method").glob("*.yaml")):
        card = (yaml.safe_load(path.read_text()) or {}).get("card", {})
        found[card.get("name", path.stem)] = card
    return found


def record_folders(typed: Sequence[str]) -> list[Path]:
    """The folders of records that a user named; a results folder stands for its `runs`.

    Raises:
        ValueError: a folder is not there.
    """
    folders = [existing_folder(text, key="the folder of records") for text in typed]
    if not typed:
        folders = [Path("results")] if Path("results").is_dir() else []
    return [f / "runs" if (f / "runs").is_dir() else f for f in folders]


def record_files(folder: Path) -> list[Path]:
    """The record.json below a folder; in a folder without any, all its *.json."""
    return sorted(folder.rglob("record.json")) or [
        path for path in sorted(folder.rglob("*.json")) if path.name != "status.json"
    ]


def load(folders: Iterable[Path], *, short: bool = False) -> list[Record]:
    """The records below the folders, in a fixed order, each once; see `record_files`.

    A file that is damaged or no record is named on stderr and left out.

    Args:
        folders: where to look.
        short: whether the records may lack what only pictures and single pages show, see
            `fsig_bench.store.short_records`: thousands are then read in seconds.

    Raises:
        ValueError: there is no record that can be used.
    """
    folders = list(folders)
    found: dict[tuple[str, str], Record] = {}
    problems: list[str] = []
    for folder in folders:
        for path, problem, record in _read_folder(folder, short=short):
            if record is None:
                problems.append(problem)
                continue
            key = record["suite"], record["run_id"]
            if found.setdefault(key, record)["metrics"] != record["metrics"]:
                problems.append(f"{path} has other numbers than another record of {key[1]}")
    _name_problems(sorted(problems))
    _label_as_today(found.values())
    if not found:
        where = ", ".join(map(str, folders)) or "results"
        left = f" that can be used ({len(problems)} files are named above)" if problems else ""
        raise ValueError(f"there is no record{left} below {where}; run a method first")
    return [found[key] for key in sorted(found)]


def _label_as_today(records: Iterable[Record]) -> None:
    """Gives methods of the repository the labels of today's cards: an old name may mislead."""
    for record in records:
        card = record["config"]["method"]["card"]
        if record["method"] in (here := method_cards()):
            card["label"] = here[record["method"]]["label"]


def _read_folder(folder: Path, *, short: bool) -> Iterator[tuple[Path, str, Record | None]]:
    """Each file in order of its path, with why it cannot be used, or its record."""
    if short:
        entries = sorted(index_entries(folder, short=True), key=lambda entry: entry.place)
        if entries:
            yield from ((e.path, e.problem, e.record) for e in entries)
            return
    for path in record_files(folder):
        try:
            yield path, "", read_record(path)
        except (ValueError, OSError) as error:
            yield path, str(error), None


def _name_problems(problems: Sequence[str]) -> None:
    """Says on stderr which files are left out, and why."""
    for problem in problems[:MOST_NAMED]:
        print(f"left out: {printable(problem)}", file=sys.stderr)
    if (more := len(problems) - MOST_NAMED) > 0:
        print(f"left out: {more} more files", file=sys.stderr)


def label_with_start(card: Json) -> str:
    """A method as rows name it, with its start where that is not the source model."""
    return f"{card['label']} (from scratch)" if card.get("from_scratch") else str(card["label"])


def comparable_setting(record: Record) -> tuple[str, str, str, int, int]:
    """What must agree for numbers to share a table."""
    rules = record["protocol"], record.get("protocol_hash", "")
    return (record["suite"], *rules, record["k"], record["num_images"])


def pair_key(record: Record) -> tuple[str | int | None, ...]:
    """What must agree for two methods' runs to be a pair: the target first."""
    chance = record.get("subset", 0), record["seed"], draw_of(record)
    return (record["dataset"], *chance, *comparable_setting(record))
