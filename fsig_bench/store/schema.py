"""What a record has to hold so that every report can read it: fields, kinds and ranges.

A record may hold more; unknown fields are passed over. Text from a record may say anything, since
whoever shows it escapes it, but it holds no control characters; names may be parts of paths.
"""

from __future__ import annotations

import re
from typing import Any

from fsig_bench.api.plain import Record
from fsig_bench.store.checks import (
    Check,
    fields,
    flag,
    hexadecimal,
    line,
    listed,
    mapped,
    name,
    number,
    one_of,
    optional_text,
    text,
    whole,
)

DEEPEST = 40  # levels of mappings and lists in each other; records have nine
# Control characters but tab and line ends, and halves of surrogate pairs, which no file can hold.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

COUNT = whole(0, 10**12)
METRIC = fields(
    {"value": number(none=True)},
    {
        "extractor": line,
        "reason": text,
        "n_real": whole(0, 10**12, none=True),
        "n_fake": whole(0, 10**12, none=True),
        "error": mapped(number(none=True), none=True),
        "rank_warning": optional_text,
        "warning": optional_text,
        "protocol_hash": hexadecimal,
        "cluster_sizes": listed(COUNT),
        "cluster_means": mapped(number(none=True)),
        "by_factor": mapped(number(), none=True),
    },
)
CARD = fields(
    {"label": line, "kind": one_of("method", "control")},
    {"name": name, "from_scratch": flag, "speed_only": mapped()},
)
BETTER = one_of("lower", "higher", "none", "like_real")
METRIC_CARD = fields(
    {"heading": line},
    {
        "decimals": whole(0, 12),
        "better": BETTER,
        "published": BETTER,
        "significant": whole(1, 12, none=True),
        "factor": number(),
        "distance": flag,
    },
)
CONFIG = fields(
    {"method": fields({"card": CARD})},
    {
        "suite": mapped(),
        "dataset": mapped(),
        "protocol": fields({}, {"metrics": mapped(fields({}, {"card": METRIC_CARD}), key=name)}),
        "precision": mapped(text),
        "figures": mapped(),
    },
)
REQUIRED: dict[str, Check] = {
    "run_id": name,
    "suite": name,
    "method": name,
    "dataset": name,
    "k": whole(0, 10**9),
    "seed": whole(0, 2**64),
    "num_images": whole(1, 10**9),
    "protocol": name,
    "metrics": mapped(METRIC, key=name),
    "timing_s": fields({stage: number(0) for stage in ("adapt", "sample", "score")}),
    "peak_mem_gib": number(0),
    "nfe_per_image": number(0),
    "trained_params": number(0),
    "pixels_sha256": hexadecimal,
    "config": CONFIG,
    "environment": fields({}, {"packages": mapped(optional_text, none=True)}),
}
OPTIONAL: dict[str, Check] = {
    "record_version": whole(1, 1000),
    "subset": whole(0, 10**9),
    "draw": whole(0, 2**64),
    "protocol_hash": hexadecimal,
    "nfe_adapt": number(0, none=True),
    "notes": fields({}, {"source_distance": fields({}, {"remark": text}), "warning": text}),
    "reconstruction": mapped(none=True),
    "shots": listed(text),
    "pictures": mapped(name),
    "stages": mapped(name),
    "borrowed": mapped(name),
    "settings_keys": mapped(name),
    "code": fields({}, {"files": mapped(text), "classes": mapped(mapped())}),
    "weights": mapped(hexadecimal),
    "assets": mapped(mapped()),
}


def check_record(record: Record) -> None:
    """Raises ValueError, which names the field, where a record is not one that reports can read."""
    if missing := [field for field in REQUIRED if field not in record]:
        raise ValueError(f"the field {missing[0]} is missing")
    for field, fits in (REQUIRED | OPTIONAL).items():
        if field in record and (wrong := fits(record[field])):
            raise ValueError(f"{field} is not {wrong}")


def check_depth(value: object) -> None:
    """Raises ValueError where containers are nested deeper than any record's."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"more than {DEEPEST} levels are nested in each other")


def check_printable(value: object) -> None:
    """Raises ValueError where a text holds a control character that moves a terminal's cursor."""
    if isinstance(value, str):
        if found := UNPRINTABLE.search(value):
            raise ValueError(f"a text holds the character {found[0]!r}")
    elif isinstance(value, dict | list):
        for inner in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            check_printable(inner)
