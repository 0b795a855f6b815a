"""Runs of one method under other settings are other rows, never averaged as if they were seeds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.store.keys import NOT_IN_KEY
from fsig_bench.store.records import flat, speed_only
from fsig_bench.store.short_records import ByIdentity


def settings_of(record: Record, parts: Sequence[str] = ("method", "dataset")) -> JsonDict:
    """What tells a record's method and images apart, as dotted keys; place and card aside."""
    config = record["config"]
    nodes: JsonDict = {}
    if "method" in parts:
        # What a method copies from its dataset (`real` its images) is not a setting of its own.
        theirs = [v for v in config.get("dataset", {}).values() if isinstance(v, Mapping)]
        speed = speed_only(config["method"])
        method = {k: v for k, v in config["method"].items() if k not in ("card", *speed)}
        nodes["method"] = {k: v for k, v in method.items() if v not in theirs}
        policy = config.get("precision", {})  # records of version 1 have none
        nodes["precision"] = {k: v for k, v in policy.items() if v != "fp32"}
    if "dataset" in parts:
        nodes["dataset"] = {k: v for k, v in config.get("dataset", {}).items() if k != "fresh"}
    own = {k: v for k, v in flat(nodes).items() if k.rpartition(".")[2] not in NOT_IN_KEY}
    used = {v for v in own.values() if isinstance(v, str)}
    return own | {
        f"sha256 of {path}": sha[:8]
        for path, sha in record.get("weights", {}).items()
        if path in used
    }


def settings_difference(own: Json, main: Json) -> str:
    """In which settings a row departs from the main one."""
    keys = sorted(k for k in {*own, *main} if own.get(k) != main.get(k))
    return ", ".join(f"{k.removeprefix('method.')}={own.get(k)}" for k in keys)


def group_by_settings(group: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Runs by equal settings, the most frequent first; the others say in what they differ."""
    by: dict[str, list[Record]] = defaultdict(list)
    for r in group:
        by[_key(settings_of(r))].append(r)
    order = sorted(by, key=lambda key: (-len(by[key]), key))
    main = settings_of(by[order[0]][0])
    return [(settings_difference(settings_of(by[key][0]), main), by[key]) for key in order]


def variant_labels(records: Sequence[Record]) -> list[str]:
    """For each record, how its settings depart from the most frequent of its method and dataset."""
    own = _settings_of_sides(records)
    key_of = ByIdentity[str]()
    counts: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    known: dict[str, Json] = {}
    for r, pair in zip(records, own, strict=True):
        for side, (name, settings) in enumerate(
            zip((r["method"], r["dataset"]), pair, strict=True)
        ):
            key = key_of((settings,), lambda s=settings: _key(s))  # type: ignore[misc]
            counts[side, name][key] += 1
            known[key] = settings
    main = {
        place: known[min(found, key=lambda key: (-found[key], key))]
        for place, found in counts.items()
    }
    labels, text_of = [], ByIdentity[str]()
    for r, pair in zip(records, own, strict=True):
        others = main[0, r["method"]], main[1, r["dataset"]]
        parts = [
            text_of((a, b), lambda a=a, b=b: settings_difference(a, b))  # type: ignore[misc]
            for a, b in zip(pair, others, strict=True)
        ]
        labels.append(", ".join(filter(None, parts)))
    return labels


Sides = tuple[Json, Json]  # settings of the method, of the dataset


def _settings_of_sides(records: Sequence[Record]) -> list[Sides]:
    found = ByIdentity[Sides]()

    def of(r: Record) -> Sides:
        config = r["config"]
        parts = [config.get(name) for name in ("method", "dataset", "precision")]
        return found(
            (*parts, r.get("weights")),
            lambda: (settings_of(r, ["method"]), settings_of(r, ["dataset"])),
        )

    return [of(r) for r in records]


def main_variant(records: Sequence[Record], labels: Sequence[str] | None = None) -> list[Record]:
    """The records under the most frequent settings of their method and dataset.

    Args:
        records: any.
        labels: their `variant_labels`, where they are known.
    """
    labels = variant_labels(records) if labels is None else labels
    return [r for r, differs in zip(records, labels, strict=True) if not differs]


def _key(settings: Json) -> str:
    return repr(sorted(settings.items(), key=str))


def protocol_differences(a: JsonDict, b: JsonDict) -> list[str]:
    """In which fields the protocols of two records differ, "field (one / other)"; sorted."""
    sides = [
        flat(r["config"].get("protocol", {})) | {"num_images": r["num_images"]} for r in (a, b)
    ]
    # Weights of a network that trained again keep their path.
    for side, r in zip(sides, (a, b), strict=True):
        used = {v for v in side.values() if isinstance(v, str)}
        side |= {f"sha256 of {w}": s[:8] for w, s in r.get("weights", {}).items() if w in used}
    keys = sorted(
        k
        for k in {*sides[0], *sides[1]}
        if sides[0].get(k) != sides[1].get(k) and not set(k.split(".")) & {*NOT_IN_KEY}
    )
    return [f"{k} ({sides[0].get(k)} / {sides[1].get(k)})" for k in keys]
