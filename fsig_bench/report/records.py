"""Reading records, and what may share a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsig_bench.console import existing_folder
from fsig_bench.store.records import read_record

Record = dict[str, Any]
KINDS = {"method": 0, "control": 1}  # in the order of rows


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


def load(folders: Iterable[Path]) -> list[Record]:
    """The records below the folders, in a fixed order; see `record_files`.

    Raises:
        ValueError: a file is not a record, or there is none.
    """
    found = []
    for folder in folders:
        for path in record_files(folder):
            try:
                record = read_record(path)
                found.append(((record["suite"], record["run_id"]), record))
            except (KeyError, TypeError) as error:
                raise ValueError(f"{path} is no record ({error!r}); move it away") from error
    if not found:
        where = ", ".join(map(str, folders)) or "results"
        raise ValueError(f"there is no record below {where}; run a method first")
    return list(dict(sorted(found, key=lambda pair: pair[0])).values())


def label_with_start(card: Mapping[str, Any]) -> str:
    """A method as rows name it, with its start where that is not the source model."""
    return f"{card['label']} (from scratch)" if card.get("from_scratch") else str(card["label"])


def comparable_setting(record: Record) -> tuple[Any, ...]:
    """What must agree for numbers to share a table."""
    rules = record["protocol"], record.get("protocol_hash", "")
    return (record["suite"], *rules, record["k"], record["num_images"])


@dataclass(frozen=True, kw_only=True)
class MeanStd:
    """What several runs gave together."""

    mean: float
    std: float | None  # with n - 1; None for a single value
    n: int

    def text(self, decimals: int) -> str:
        """Mean, with the standard deviation where there is one."""
        mean = f"{self.mean:.{decimals}f}"
        return mean if self.std is None else f"{mean} ± {self.std:.{decimals}f}"


def mean_std(values: Sequence[float]) -> MeanStd:
    """The one aggregation of every table and figure, over at least one value."""
    return MeanStd(
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        n=len(values),
    )
