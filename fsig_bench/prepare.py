"""`fsig-bench prepare dataset=NAME`: brings a published target set into place, once.

    fsig-bench prepare dataset=babies accept_licence=true
    fsig-bench prepare dataset=babies shots=~/ten.zip reference=~/babies_full.zip

Downloads the set, or imports `shots` and `reference` from a folder, zip or tar of yours; checks
that every image decodes, and their number, size and range; reports near-duplicates of the shots in
the reference; leaves a manifest with the sha256 of every file, which every run checks. Runs leave
the shots and their near-duplicates out of the reference, unless a protocol wants the shots in.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.console import console, run_word
from fsig_bench.data.importing import ROLES, remove_leftovers
from fsig_bench.runner.sets import folder_of, is_prepared, prepare_set
from fsig_bench.words import parse_words, read_switch

KEYS = ("dataset", "suite", "shots", "reference", "accept_licence", "data_dir")


def described(given: Mapping[str, str], config_dir: Path | None = None) -> JsonDict:
    """The dataset's part of the composed config.

    Raises:
        ValueError: there is no such set in the suite, or nothing to prepare.
    """
    from omegaconf import OmegaConf

    from fsig_bench.runner.compose import compose_config

    suite, name = given.get("suite", "paper"), given["dataset"]
    words = [f"suite={suite}", f"dataset={name}", "method=copy"]
    words += [f"data_dir={given['data_dir']}"] if "data_dir" in given else []
    cfg = compose_config(words, config_dir=config_dir)
    node: Any = OmegaConf.to_container(cfg.dataset, resolve=True)
    if "origin" not in node:
        raise ValueError(f"dataset={name} of suite={suite} needs no preparation")
    return dict(node)


def accepted(origin: Json, answer: str | None, note: Path) -> bool:
    """Whether the user takes the set under its licence; asked once, as `note` remembers."""
    terms = f"{origin['licence']}  ({origin['page']})"
    console.print(f"licence: {terms}", soft_wrap=True)
    if answer is not None:
        return read_switch("accept_licence", answer)
    if note.exists() and note.read_text().strip() == terms:
        console.print("accepted before")
        return True
    if not sys.stdin.isatty():
        raise ValueError("say accept_licence=true if you may use the images under this licence")
    return input("Use it under these terms? [y/N] ").strip().lower() in ("y", "yes")


def prepare(words: Sequence[str]) -> Path:
    """Downloads or imports the set, checks it and writes its manifest; returns its folder.

    Raises:
        ValueError, OSError: an unknown word, or images that are not those of the set.
    """
    given_words = parse_words(words, word="prepare", keys=KEYS, positional=())
    found = given_words.settings
    if "dataset" not in found:
        raise ValueError("choose a set: fsig-bench prepare dataset=babies")
    node = described(found, given_words.config_dir)
    folder, own = folder_of(node), {r: Path(found[r]).expanduser() for r in ROLES if r in found}
    if folder.is_dir():
        for role in ROLES:
            remove_leftovers(folder / role)
    if not own and is_prepared(node):
        console.print(f"{folder} is prepared, every file as it was; delete it to start over")
        return folder
    if not accepted(node["origin"], found.get("accept_licence"), folder / "licence.txt"):
        raise ValueError("the licence was not accepted; nothing was written")
    return prepare_set(node, own)


def main(words: Sequence[str]) -> int:
    """`prepare` as a word of the command line."""
    prepare(words)
    return 0


if __name__ == "__main__":
    sys.exit(run_word("prepare", main))
