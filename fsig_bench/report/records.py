"""Reading records, and what may share a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.store.records import read_record

Record = dict[str, Any]


KINDS = {"method": 0, "control": 1}


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


def setting(record: Record) -> tuple[Any, ...]:
    """What must agree for numbers to share a table."""
    rules = record["protocol"], record.get("protocol_hash", "")
    return (record["suite"], *rules, record["k"], record["num_images"])


def spread(values: Sequence[float], decimals: int) -> str:
    """Mean, with the standard deviation if there are several."""
    mean = f"{statistics.fmean(values):.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{decimals}f}"
