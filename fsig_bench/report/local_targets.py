"""Which classes a record may make the harness build: those that the local configuration names.

A record names classes under `_target_`. Importing or building one runs its code, so a record from
elsewhere is compared with the YAML files of conf/ and of --config-dir first, as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Json
from fsig_bench.runner.targets import named_targets, targets_below

KEY = re.compile(r"[A-Za-z_][\w.-]*")
# Groups of conf/ whose classes hold images: the only ones that are built from a record.
IMAGES = ("dataset", "in_suite/dataset", "suite/source_images")


def local_targets(config_dir: Path | None, groups: tuple[str, ...] = ("",)) -> frozenset[str]:
    """Every class that groups of conf/ and of the folder of the user's own YAML files name."""
    own = targets_below(config_dir, groups) if config_dir else frozenset()
    return targets_below(CONF, groups) | own


def foreign_reason(
    node: object, config_dir: Path | None = None, *, groups: tuple[str, ...] = ("",)
) -> str | None:
    """Why settings from elsewhere are not to be composed or built here; None where they may be.

    Args:
        node: settings as plain values.
        config_dir: a folder with YAML files of the user's own.
        groups: the groups of conf/ that may name a class; by default all.
    """
    if foreign := sorted(set(named_targets(node)) - local_targets(config_dir, groups)):
        where = " and ".join(f"conf/{group}" for group in groups)
        return (
            f"it names the class {foreign[0]}, which no YAML file of {where} names; if it is "
            "yours, give the folder of its YAML file with --config-dir"
        )
    for text, is_key in texts_in(node):
        if is_key and not KEY.fullmatch(text):
            return f"it has the setting {text[:60]!r}, which is no name"
        if not is_key and "${" in text:
            return f"it has the value {text[:60]!r}, which would be computed here"
    return None


def texts_in(node: object) -> Iterator[tuple[str, bool]]:
    """Every text at any depth, and whether it is a key."""
    if isinstance(node, Mapping):
        yield from ((str(key), True) for key in node)
        node = list(node.values())
    if isinstance(node, str):
        yield node, False
    for inner in node if isinstance(node, list) else ():
        yield from texts_in(inner)


def build_images(spec: Json, config_dir: Path | None = None) -> Any:  # Any: of a class of conf/
    """The dataset or the images that settings of a record describe: an object of a class of conf/.

    Args:
        spec: a class's arguments with its `_target_`.
        config_dir: a folder with YAML files of the user's own.

    Raises:
        ValueError: the settings are foreign, or the class refuses them.
    """
    from hydra.utils import instantiate

    if reason := foreign_reason(spec, config_dir, groups=IMAGES):
        raise ValueError(f"the images of this record cannot be shown: {reason}")
    return instantiate(dict(spec), _convert_="all")
