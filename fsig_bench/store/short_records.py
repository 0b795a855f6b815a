"""Records without what only pictures and single pages show, in pieces that many records share.

Ten thousand records of a grid differ in their numbers; their settings are a few dozen mappings.
Each of these is stored once, by its digest, and held in memory once.
"""

from __future__ import annotations

import hashlib
import json
import marshal
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from fsig_bench.api.plain import Json, JsonDict, Record

T = TypeVar("T")

# Fields of a short record that are its own, in this order.
OWN = (
    *("record_version", "run_id", "suite", "method", "dataset", "k", "seed", "subset", "draw"),
    *("num_images", "protocol", "protocol_hash", "timing_s", "peak_mem_gib", "nfe_per_image"),
    *("nfe_adapt", "trained_params", "stages", "pixels_sha256"),
)
SHARED = ("weights", "assets")
OF_METRIC = ("extractor", "reason", "protocol_hash")  # what stays of a metric besides its value
OF_CONFIG = ("k", "seed", "subset", "draw", "num_images")  # settings that are a record's own


class ByIdentity(Generic[T]):
    """Results by the objects that they are computed from, told apart by identity, not by value.

    Short records share their settings, so what follows from these is computed once for many.
    """

    def __init__(self) -> None:
        # The objects stay alive with their result, so no other object takes their place.
        self.found: dict[tuple[int, ...], tuple[tuple[object, ...], T]] = {}

    def __call__(self, objects: tuple[object, ...], compute: Callable[[], T]) -> T:
        """`compute()`, the first time for these objects; afterwards the same result again."""
        key = tuple(map(id, objects))
        if key not in self.found:
            self.found[key] = objects, compute()
        return self.found[key][1]


class Parts:
    """Mappings by the digest of their JSON, each in memory once."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = {key: text for key, text in texts.items() if part_key(text) == key}
        self.values: dict[str, Any] = {}
        self.known: dict[bytes, str] = {}
        self.new: dict[str, str] = {}  # those that have been added since

    def add(self, value: Any) -> str:  # Any: a JSON value
        """The key of a value."""
        raw = hashlib.blake2b(marshal.dumps(value, 2)).digest()  # several times as fast as JSON
        if raw not in self.known:
            text = json.dumps(value, separators=(",", ":"))
            self.known[raw] = key = part_key(text)
            if key not in self.texts:
                self.texts[key] = self.new[key] = text
        return self.known[raw]

    def __getitem__(self, key: str) -> Any:  # Any: a JSON value
        if key not in self.values:
            self.values[key] = json.loads(self.texts[key])
        return self.values[key]


def part_key(text: str) -> str:
    """The digest that a part is found by."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def shortened(record: Record, parts: Parts) -> JsonDict:
    """What `restored` makes a short record of, as JSON values; its parts are added to `parts`."""
    config, metrics = record["config"], record["metrics"]
    settings = {k: v for k, v in config.items() if k not in OF_CONFIG}
    mappings = {k: parts.add(v) for k, v in settings.items() if isinstance(v, dict)}
    plain = {k: v for k, v in settings.items() if k not in mappings}
    kinds = {n: {k: m[k] for k in OF_METRIC if m.get(k) is not None} for n, m in metrics.items()}
    return {
        "own": {k: record[k] for k in OWN if k in record},
        "shared": {k: parts.add(record[k]) for k in SHARED if k in record},
        "values": [m["value"] for m in metrics.values()],
        "metrics": parts.add(kinds),
        "config": {k: config[k] for k in OF_CONFIG if k in config},
        "settings": parts.add([list(config), mappings, plain]),
    }


def restored(short: Json, parts: Parts) -> Record:
    """The short record: a record's identity, settings and costs, and each metric's value.

    Raises:
        KeyError: a part is not there.
    """
    own, kinds = short["own"], parts[short["metrics"]]
    order, mappings, plain = parts[short["settings"]]
    values = zip(kinds.items(), short["values"], strict=True)
    return {
        **{field: own[field] for field in OWN if field in own},
        **{field: parts[key] for field, key in short["shared"].items()},
        "metrics": {name: {"value": value, **kind} for (name, kind), value in values},
        "config": {
            name: parts[mappings[name]]
            if name in mappings
            else plain[name]
            if name in plain
            else short["config"][name]
            for name in order
        },
    }
