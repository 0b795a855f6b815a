"""Which records may share a column: one setting, one way to run a method, each seed once."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.report.records import comparable_setting
from fsig_bench.report.variants import protocol_differences
from fsig_bench.store.keys import NOT_IN_KEY
from fsig_bench.store.records import draw_of, flat, speed_only
from fsig_bench.store.short_records import ByIdentity

IGNORED = (*NOT_IN_KEY, "path", "url", "alternatives")  # where things are, never what they are
READING = ("resize", "shots_resize")  # how a dataset's files become pixels


@cache
def compose_parts(overrides: tuple[str, ...]) -> JsonDict:
    """A config as the command line composes it, resolved, with what a table compares.

    Raises:
        ValueError: an override names nothing that exists.
    """
    from omegaconf import OmegaConf

    from fsig_bench.runner.compose import compose_config

    config = compose_config(overrides)
    nodes = {k: config[k] for k in ("protocol", "method", "dataset") if config.get(k) is not None}
    return {k: OmegaConf.to_container(v, resolve=True) for k, v in nodes.items()}


def differences(found: object, expected: object, ignored: Sequence[str] = ()) -> list[str]:
    """Dotted keys in which two config nodes differ, with both values; places are passed over."""
    one, other = (
        {k: v for k, v in flat(n).items() if not set(k.split(".")) & {*IGNORED, *ignored}}
        for n in (found, expected)
    )
    keys = sorted(k for k in {*one, *other} if one.get(k) != other.get(k))
    return [f"{k} ({one.get(k)}, not {other.get(k)})" for k in keys]


def with_committed_protocol(
    records: Sequence[Record], suite: str, protocol: str, *, config_dir: Path | None = None
) -> tuple[list[Record], list[str]]:
    """Records whose protocol is the committed one, and a sentence on those that changed it.

    Args:
        records: of this suite and protocol.
        suite: its name.
        protocol: its name.
        config_dir: a folder with YAML of the user's own.
    """
    if not records:
        return [], []
    from fsig_bench.runner.compose import search_path

    own = [search_path(config_dir)] if config_dir else []
    committed = compose_parts((*own, f"suite={suite}", f"protocol={protocol}"))["protocol"]
    chosen, out, memo = [], defaultdict(list), ByIdentity[list[str]]()
    for record in records:
        rules = record["config"].get("protocol", {})
        if changed := memo((rules,), lambda rules=rules: differences(rules, committed)):  # type: ignore[misc]
            out["; ".join(changed)].append(record["run_id"])
        else:
            chosen.append(record)
    return chosen, [
        f"Left out, since protocol {protocol} was changed ({why}): runs {', '.join(runs)}."
        for why, runs in sorted(out.items())
    ]


def most_frequent_group(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """The records of the setting that most of them share, and sentences on the others."""
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[comparable_setting(record)].append(record)
    order = sorted(groups, key=lambda s: (-len(groups[s]), str(s)))
    if not order:
        return [], []
    chosen = groups[order[0]]
    sentences = []
    for other in order[1:]:
        why = (
            "; ".join(protocol_differences(groups[other][0], chosen[0]))
            or f"k ({other[3]} / {order[0][3]})"
        )
        runs = ", ".join(sorted(r["run_id"] for r in groups[other]))
        sentences.append(f"Left out, scored unlike the others ({why}): runs {runs}.")
    return chosen, sentences


def method_settings(record: Record) -> str:
    """What a method was run with, apart from seed, subset and place."""
    config: Json = record["config"]["method"]
    ignored = {*IGNORED, *speed_only(config)}
    chosen = {k: v for k, v in flat(config).items() if not set(k.split(".")) & ignored}
    used = [record.get(field, {}) for field in ("weights", "assets")]
    return json.dumps([chosen, *used, reading_of(record["config"])], sort_keys=True)


def reading_of(config: Json) -> JsonDict:
    """How the files of a config's dataset are read; {} for a dataset without files."""
    dataset = config.get("dataset", {})
    return {f"dataset.{key}": dataset[key] for key in READING if key in dataset}


# By method and dataset: the records of a cell, and sentences on those that are left out.
ByPlace = Mapping[tuple[str, str], tuple[list[Record], list[str]]]


def commonest_by_place(records: Sequence[Record]) -> ByPlace:
    """By method and dataset: what `most_frequent_settings` makes of the records."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record["method"], record["dataset"]].append(record)
    return {place: most_frequent_settings(group) for place, group in groups.items()}


def most_frequent_settings(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Of one cell: the records of the commonest way to run the method, each seed once."""
    if not records:
        return [], []
    memo = ByIdentity[str]()

    def way(r: Record) -> str:
        config = r["config"]
        parts = config["method"], config.get("dataset"), r.get("weights"), r.get("assets")
        return memo(parts, lambda: method_settings(r))

    ways = Counter(map(way, records))
    first = min(ways, key=lambda w: (-ways[w], w))
    once: dict[tuple[int, int, int | None], Record] = {}
    for record in sorted(records, key=lambda r: r["run_id"]):
        if way(record) == first:
            once.setdefault((record["seed"], record.get("subset", 0), draw_of(record)), record)
    chosen = [once[key] for key in sorted(once)]
    runs = sorted({r["run_id"] for r in records} - {r["run_id"] for r in chosen})
    where = f"{records[0]['method']} on {records[0]['dataset']}"
    sentence = f"Left out, other settings of {where}: runs {', '.join(runs)}."
    return chosen, [sentence] if runs else []


def method_changes(record: Record) -> list[str]:
    """In what a run's method differs from its committed configuration; [] if that is not ours."""
    words = (f"suite={record['suite']}", f"method={record['method']}")
    try:
        committed = compose_parts((*words, f"dataset={record['dataset']}"))
    except ValueError:
        return []  # a method or domain of somebody else's
    own, expected = record["config"]["method"], committed["method"]
    ignored = *speed_only(own), *speed_only(expected)
    read = differences(reading_of(record["config"]), reading_of(committed))
    return [*differences(own, expected, ignored), *read]
