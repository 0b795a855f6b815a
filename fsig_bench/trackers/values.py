"""What trackers show of a record, as flat names and numbers. Pure.

A metric's name carries protocol and protocol hash (`ours_1a2b3c4d/fd`): numbers of unlike
protocols never share a column there either.
"""

from __future__ import annotations

import math
from pathlib import Path

from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.metrics.cards import metric_cards
from fsig_bench.store.records import flat, identity

METRIC_COLUMNS = [
    *("metric", "heading", "value", "standard_error", "extractor", "n_real", "n_fake"),
    *("protocol", "protocol_hash"),
]


def metric_prefix(protocol: str, protocol_hash: str) -> str:
    """The head of a metric's name: letters, digits and underscores."""
    return f"{protocol}_{protocol_hash}".rstrip("_")


def metric_values(record: Record) -> dict[str, float]:
    """Every metric that has a value, with its standard error where there is one."""
    head = metric_prefix(record["protocol"], record.get("protocol_hash", ""))
    found = {}
    for name, metric in record["metrics"].items():
        if (value := metric.get("value")) is not None:
            found[f"{head}/{name}"] = value
        if error := metric.get("error"):
            found[f"{head}/{name}_standard_error"] = error["standard_error"]
    return {k: float(v) for k, v in found.items() if math.isfinite(v)}


def cost_values(record: Record) -> dict[str, float]:
    """Seconds by stage and in all, peak memory in GiB, network evaluations, trained numbers."""
    seconds = {f"cost/{stage}_s": s for stage, s in record["timing_s"].items()}
    others = ("peak_mem_gib", "nfe_per_image", "nfe_adapt", "trained_params")
    total = sum(record["timing_s"].values())
    return {**seconds, "cost/total_s": total, **{f"cost/{k}": record[k] for k in others}}


def metric_rows(record: Record) -> list[list[object]]:
    """The record's metrics as rows of METRIC_COLUMNS, in the table's order."""
    rows = []
    for name, card in metric_cards([record]).items():
        m = record["metrics"][name]
        error = (m.get("error") or {}).get("standard_error")
        counts = [m.get("extractor"), m.get("n_real"), m.get("n_fake")]
        tail = [record["protocol"], record.get("protocol_hash")]
        rows.append([name, card.heading, m.get("value"), error, *counts, *tail])
    return rows


def picture_paths(record: Record, folder: Path) -> dict[str, Path]:
    """The pictures of a finished run that are there, by name."""
    names = dict(record.get("pictures") or {})
    if rebuilt := (record.get("reconstruction") or {}).get("picture"):
        names["reconstruction"] = rebuilt
    return {k: folder / v for k, v in names.items() if (folder / v).exists()}


def settings_flat(config: Json) -> JsonDict:
    """Identity and the method's own settings as dotted keys with plain values."""
    method = {k: v for k, v in config["method"].items() if k != "card"}
    values = {**identity(config), **flat({"method": method}), "num_images": config["num_images"]}
    plain = (bool, int, float, str)
    return {k: v if isinstance(v, plain) else str(v) for k, v in values.items()}
