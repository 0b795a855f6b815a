"""The classes that YAML names under `_target_`; nothing is imported or composed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path


def named_targets(node: object) -> Iterator[str]:
    """Every value under a key `_target_`, at any depth, as text."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    for inner in node if isinstance(node, list | tuple) else ():
        yield from named_targets(inner)


@cache
def targets_below(folder: Path, groups: tuple[str, ...] = ("",)) -> frozenset[str]:
    """Every `_target_` in the YAML files below some folders of a folder."""
    found = (p for group in groups for p in sorted((folder / group).rglob("*.yaml")))
    return frozenset(t for path in found for t in named_targets(_yaml(path)))


def _yaml(path: Path) -> object:
    import yaml

    try:
        return yaml.safe_load(path.read_text(errors="replace"))
    except yaml.YAMLError:
        return None  # whoever composes it is told
