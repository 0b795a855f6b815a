"""From a record to the command that repeats its run.

The record's settings are compared with what the configuration composes to; every departure becomes
one override in Hydra's grammar.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.runner.typed import quoted
from fsig_bench.store.keys import NOT_IN_KEY
from fsig_bench.store.records import draw_of, speed_only

SCALARS = ("k", "subset", "seed", "draw", "num_images")
PARTS = ("suite", "dataset", "method", "protocol")  # in the order in which they refer to each other
WORD = re.compile(r"[A-Za-z_./~][A-Za-z0-9_./@~-]*")
RESERVED = ("true", "false", "null", "nan", "inf")


@dataclass(frozen=True, kw_only=True)
class Command:
    """The words after `python -m fsig_bench`, and what they do not restore, if anything."""

    words: tuple[str, ...]
    note: str | None

    @property
    def text(self) -> str:
        return shlex.join(["python", "-m", "fsig_bench", *self.words])


def hydra_value(value: object) -> str:
    """A plain value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{hydra_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(hydra_value, value)) + "]"
    text = str(value)
    if WORD.fullmatch(text) and text.lower() not in RESERVED:
        return text
    return quoted(text)


def departures(own: object, default: object, path: str, *, deletes: bool) -> list[str]:
    """Overrides that turn `default` into `own` at the dotted path; speed-only settings stay."""
    if isinstance(own, Mapping) and isinstance(default, Mapping):
        out = []
        ignored = {*NOT_IN_KEY, *speed_only(own), *speed_only(default)}
        for key in [*own, *(k for k in default if k not in own)]:
            at = f"{path}.{key}"
            if key in ignored:
                continue
            if key not in default:
                out.append(f"+{at}={hydra_value(own[key])}")
            elif key not in own:
                # Hydra cannot delete null; a record without the setting did not use it either.
                out += [f"~{at}"] if deletes and default[key] is not None else []
            else:
                out += departures(own[key], default[key], at, deletes=deletes)
        return out
    # As JSON: 1, 1.0 and true are equal in Python and give other run ids.
    same = json.dumps(own) == json.dumps(default)
    return [] if same else [f"{path}={hydra_value(own)}"]


@lru_cache(maxsize=1024)
def compose_parts(words: tuple[str, ...]) -> JsonDict:
    """What the configuration gives for some overrides; a missing value stays "???".

    Raises:
        ValueError: it cannot be composed; the message is Hydra's.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from fsig_bench.runner.compose import compose_config

    try:
        return OmegaConf.to_container(compose_config(words), resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ValueError(str(error)) from error


def offered(part: str, config_dir: Path | None = None) -> dict[str, Path]:
    """The choices of a config group and their files; those of `config_dir` come first."""
    folders = [CONF, *([config_dir] if config_dir else [])]
    return {p.stem: p for folder in folders for p in sorted((folder / part).glob("*.yaml"))}


def choice(part: str, record: Record, config_dir: Path | None = None) -> str:
    """The option that a part of the record came from: by name, else by what it constructs."""
    name, node = str(record[part]), record["config"][part]
    options = offered(part, config_dir)
    if name in options or not isinstance(node, Mapping):
        return name
    made = [o for o, path in options.items() if _target(path) == node.get("_target_")]
    return made[0] if made else name


@lru_cache(maxsize=256)
def _target(path: Path) -> str | None:
    from omegaconf import OmegaConf

    node = OmegaConf.load(path)
    return OmegaConf.to_container(node).get("_target_")  # type: ignore[union-attr, call-overload]


def rerun_command(record: Record, config_dir: Path | None = None) -> Command:
    """The words that repeat a run; a note where today's configuration has other fields or rules.

    Args:
        record: of the run.
        config_dir: a folder with YAML of the user's own, which the words then name.
    """
    from fsig_bench.runner.compose import search_path

    config = record["config"]
    head = [search_path(config_dir)] if config_dir else []
    head += [f"{part}={hydra_value(choice(part, record, config_dir))}" for part in PARTS]
    own = {**record, "draw": draw_of(record)}
    numbers = [f"{name}={hydra_value(own[name])}" for name in SCALARS]
    numbers += _policy_words(config, tuple(head))
    tail = [*numbers, "controls=[]"]
    try:
        words, note = _with_departures(config, tuple(head), record)
    except ValueError as error:
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        words, note = (), f"These names do not compose here ({reason}); {_elsewhere(record)}"
    return Command(words=(*head, *tail, *words), note=note)


def _policy_words(config: Json, head: tuple[str, ...]) -> list[str]:
    """The floating-point policies of a record that are not its suite's own."""
    try:
        own: Json = compose_parts(head)["precision"]
    except ValueError:  # said elsewhere
        own = {}
    policy = config.get("precision", {}).items()
    return [f"precision.{stage}={p}" for stage, p in policy if p != own.get(stage, "fp32")]


def _with_departures(
    config: Json, head: tuple[str, ...], record: Record
) -> tuple[tuple[str, ...], str | None]:
    words: tuple[str, ...] = ()
    now = compose_parts(head)["protocol"].get("version")
    then = config.get("protocol", {}).get("version")
    moved = now != then
    lent = _lent(compose_parts(head))
    for part in PARTS:
        own, default = config.get(part, {}), compose_parts((*head, *words))[part]
        if part == "suite" and moved:  # its networks of metrics belong to the protocol
            own, default = ({k: v[k] for k in lent if k in v} for v in (own, default))
        elif part == "protocol" and moved:
            continue
        elif part == "method":  # what a suite lends is set in the suite
            own, default = (
                {k: x for k, x in v.items() if k not in lent.values()} for v in (own, default)
            )
        deletes = part != "suite"  # newer code offers more in a suite than a record can hold
        words += tuple(departures(own, default, part, deletes=deletes))
    if moved:
        return words, (
            f"The run was scored under version {then} of its protocol, this code has version "
            f"{now}: {_elsewhere(record)}"
        )
    if words:
        got = compose_parts((*head, *words))
        left = [w for p in PARTS for w in departures(config[p], got[p], p, deletes=p != "suite")]
        if left:
            return words, f"Not restored by these words: {', '.join(left)}."
    return words, None


def _lent(config: Json) -> dict[str, str]:
    """Parts of the suite that the method's YAML takes over, and their names in the method."""
    return {
        name: key
        for name, part in config["suite"].items()
        for key, node in config["method"].items()
        if isinstance(part, Mapping) and node == part
    }


def _elsewhere(record: Record) -> str:
    commit = record.get("environment", {}).get("git_commit")
    at = f"check out commit {commit}" if commit else "use the code of that time"
    return f"{at} to get the same run id."
