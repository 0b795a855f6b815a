"""`fsig-bench list [KIND ...] [suite=NAME]`: what can be chosen, with a line on each.

    fsig-bench list                              everything, datasets of the mini suite
    fsig-bench list methods metrics              some kinds
    fsig-bench list datasets suite=paper         the target sets of a suite
    fsig-bench list presets --config-dir DIR     with the YAML files of a folder of your own

Kinds: methods, datasets, protocols, metrics, networks, suites, trackers, presets (experiments and
named settings of a method).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fsig_bench.api.places import CONF
from fsig_bench.console import run_word
from fsig_bench.words import parse_words

Line = tuple[str, str]  # what is typed to choose it, what it is


def first_comment(text: str) -> str:
    """The first sentence of a YAML file's leading comment, "" where there is none."""
    lines = []
    for line in text.splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    whole = " ".join(lines)
    sentence = whole.split(". ")[0].split("  ")[0].rstrip(".:")
    return sentence if len(sentence) <= 100 else sentence[:97].rsplit(" ", 1)[0] + " ..."


def explanation(path: Path) -> str:
    """A line on what a YAML file chooses: its card, else its leading comment, else its class."""
    text = path.read_text(encoding="utf-8")
    node: Any = yaml.safe_load(text)
    node = node if isinstance(node, dict) else {}
    card = node.get("card") or {}
    if "label" in card:
        kind = f" ({card['kind']})" if card.get("kind", "method") != "method" else ""
        source = f": {card['reference']}" if card.get("reference") else ""
        return f"{card['label']}{kind}{source}"
    heading = str(card.get("heading", ""))
    return heading or first_comment(text) or str(node.get("_target_", ""))


def files_of(group: str, folders: Sequence[Path]) -> list[Path]:
    """The YAML files of a config group, those of later folders in place of earlier ones."""
    found = {p.stem: p for folder in folders for p in sorted((folder / group).glob("*.yaml"))}
    return [path for stem, path in sorted(found.items()) if not stem.startswith("_")]


def group_lines(group: str, folders: Sequence[Path]) -> list[Line]:
    """A line for each choice of a group."""
    return [(f"{group}={p.stem}", explanation(p)) for p in files_of(group, folders)]


def dataset_lines(suite: str, folders: Sequence[Path]) -> list[Line]:
    """The datasets of a suite, and the folder of one's own."""
    own = [(f"dataset={p.stem}", explanation(p)) for p in files_of("dataset", folders)]
    here = {p.stem: p for p in files_of(f"in_suite/dataset/{suite}", folders)}
    named = [(f"dataset={stem}", explanation(path)) for stem, path in here.items()]
    return sorted({**dict(named), **{k: v for k, v in own if k == "dataset=folder"}}.items())


def preset_lines(folders: Sequence[Path]) -> list[Line]:
    """Experiments, and the sub-groups of methods and suites."""
    lines = group_lines("experiment", folders)
    for parent in ("method", "suite"):
        groups = {p.name for f in folders for p in (f / parent).glob("*") if p.is_dir()}
        for name in sorted(groups):
            lines += group_lines(f"{parent}/{name}", folders)
    return lines


KINDS = {
    "methods": "method",
    "datasets": "dataset",
    "protocols": "protocol",
    "metrics": "metric",
    "networks": "network",
    "suites": "suite",
    "trackers": "tracker",
    "presets": "experiment",
}


def listing(kinds: Sequence[str], suite: str, folders: Sequence[Path]) -> list[str]:
    """The printed lines, kind by kind."""
    out = []
    for kind in kinds:
        if kind == "datasets":
            lines, heading = dataset_lines(suite, folders), f"datasets of suite={suite}"
        elif kind == "presets":
            lines, heading = preset_lines(folders), kind
        else:
            lines, heading = group_lines(KINDS[kind], folders), kind
        width = max((len(name) for name, _ in lines), default=0)
        out += ["", heading, *(f"  {name:<{width}}  {what}".rstrip() for name, what in lines)]
    return out[1:]


def main(words: Sequence[str]) -> int:
    """Prints the lists.

    Raises:
        ValueError: an unknown kind, key or suite; the message names those that there are.
    """
    given = parse_words(words, word="list", keys=("suite",), positional=tuple(KINDS))
    folders = [CONF, *([given.config_dir] if given.config_dir else [])]
    suite = given.settings.get("suite", "mini")
    suites = [p.stem for p in files_of("suite", folders)]
    if suite not in suites:
        raise ValueError(f"suite={suite}: choose one of {', '.join(suites)}")
    print("\n".join(listing(given.positional or list(KINDS), suite, folders)))
    return 0


if __name__ == "__main__":
    sys.exit(run_word("list", main))
