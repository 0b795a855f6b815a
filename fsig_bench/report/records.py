"""Reading records, and what may share a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsig_bench.store.records import read_record

Record = dict[str, Any]
KINDS = {"method": 0, "control": 1}  # in the order of rows


def load(folders: Iterable[Path]) -> list[Record]:
    """Every record.json (or *.json of a folder of records) below the folders, in a fixed order.

    Raises:
        ValueError: a file is not a record, or there is none.
    """
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*.json")):
            if path.name == "status.json":
                continue
            try:
                record = read_record(path)
                found.append(((record["suite"], record["run_id"]), record))
            except (KeyError, TypeError) as error:
                raise ValueError(f"{path} is no record ({error!r}); move it away") from error
    if not found:
        raise ValueError(f"no record below {', '.join(map(str, folders))}; run a method first")
    return list(dict(sorted(found, key=lambda pair: pair[0])).values())


def label_with_start(card: Mapping[str, Any]) -> str:
    """A method as rows name it, with its start where that is not the source model."""
    return f"{card['label']} (from scratch)" if card.get("from_scratch") else str(card["label"])


def setting(record: Record) -> tuple[Any, ...]:
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
