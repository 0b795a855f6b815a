"""Records as one table: a row a record, a column a number or a setting."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.report.records import load
from fsig_bench.store.records import flat

FIRST = (
    "suite",
    "method",
    "dataset",
    "k",
    "subset",
    "seed",
    "draw",
    "protocol",
    "num_images",
    "run_id",
)
COSTS = ("peak_mem_gib", "nfe_per_image", "nfe_adapt", "trained_params")


def record_row(record: Record) -> JsonDict:
    """One record as column -> value; `fsig_bench.load_records` lists the columns."""
    row = {name: record[name] for name in FIRST}
    row |= {name: result["value"] for name, result in record["metrics"].items()}
    row |= {f"{stage}_s": seconds for stage, seconds in record["timing_s"].items()}
    row |= {name: record.get(name) for name in COSTS}
    settings = flat(record["config"])
    return row | {key: value for key, value in settings.items() if key not in row}


def records_frame(folder: Path) -> pd.DataFrame:
    """See `fsig_bench.load_records`."""
    place = folder.expanduser()
    if not place.is_dir():
        raise ValueError(f"{place} is no folder; give one that holds records")
    return pd.DataFrame([record_row(record) for record in load([place], short=True)])
