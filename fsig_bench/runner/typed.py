"""What a user types, before Hydra reads it: paths are quoted, words that nothing reads refused.

Pure functions on the list of typed words. `fsig_bench.runner.explain` explains Hydra's errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from fsig_bench.help import nearest

PATHS = {"path", "reference", "files", "results_dir", "data_dir", "dir", "weights", "out", "folder"}
PATHS |= {"fake", "shots"}  # a key whose last part is one of these holds a path
SWEPT = ("method", "dataset", "suite", "protocol")  # groups that a sweep may vary
FIXED = ("precision", "figures")  # nodes of the config whose keys are all known
WHOLE = {  # nodes that no single value can take the place of, and what to type instead
    "precision": "give one of its settings, such as precision.adapt=bf16",
    "figures": "give one of its settings, such as figures.embedding=pca",
    "suite.source": "choose another by suite/source=NAME, or change one setting of it",
    "suite.generator": "change one setting of it, such as suite.generator.weights=FILE",
    "protocol.metrics": "take one out by '~protocol.metrics.NAME', "
    "add one by +metric@protocol.metrics.NAME=NAME",
}


def split_word(word: str) -> tuple[str, str, str]:
    """A typed word as its marks (`+`, `++`, `~` or none), its key and its value."""
    marks = word[: len(word) - len(word.lstrip("+~"))]
    key, _, value = word[len(marks) :].partition("=")
    return marks, key, value


def is_setting(word: str) -> bool:
    """Whether a word is `key=value`, and not an option such as `-m`."""
    return "=" in word and not word.startswith("-")


def holds_path(key: str) -> bool:
    """Whether the value of a key is a path of files."""
    return re.split(r"[./@]", key)[-1] in PATHS


def parsed(text: str) -> Override | None:
    """The value as Hydra's grammar reads it; None where it does not."""
    try:
        return OverridesParser.create().parse_override(f"x={text}")
    except HydraException:
        return None


def quoted(text: str) -> str:
    """Text as a string of Hydra's grammar, whatever it holds."""
    # Backslashes count only before a quote or at the end, where each has to be doubled.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    end = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * end}'"


def quoted_path(text: str, *, sweep: bool) -> str:
    """The value of a path's key in Hydra's grammar.

    Args:
        text: as typed. Quotes, lists, interpolations and `null` stay as they are.
        sweep: whether commas separate the values of a sweep.
    """
    found = parsed(text)
    if found is None and sweep and "," in text and not re.search(r"['\"(\[{]", text):
        return ",".join(quoted_path(part, sweep=True) for part in text.split(","))
    no_text = found and not found.is_sweep_override() and isinstance(found.value(), int | float)
    if found is None or no_text or (found.is_sweep_override() and not sweep):
        return quoted(text)
    return text


def quote_paths(words: Sequence[str], *, sweep: bool = False) -> list[str]:
    """The words with every path in a form that Hydra can read.

    Args:
        words: as typed.
        sweep: whether they are those of a sweep, in which commas separate values.

    `~` stays, since what reads a path expands it; but for `results_dir`, below which Hydra itself
    makes a folder.
    """
    done = []
    for word in words:
        marks, key, value = split_word(word)
        if is_setting(word) and value and holds_path(key):
            if key == "results_dir" and re.match(r"~(/|$)", value):
                value = str(Path(value).expanduser())
            word = f"{marks}{key}={quoted_path(value, sweep=sweep)}"
        elif word.startswith("--config-dir=~"):
            word = f"--config-dir={Path(value).expanduser()}"
        done.append(word)
    return done


def split_sweep(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a sweep for Hydra, and those that only its cells can take.

    Hydra composes a config before it splits a sweep. There a setting of a method does not fit when
    the sweep chooses among methods; the same holds for datasets, suites and protocols.
    """
    first: list[str] = []
    cells: list[str] = []
    for word in words:
        marks, key, _ = split_word(word)
        group, *rest = re.split(r"[./]", key)
        own = group in SWEPT and rest and "@" not in key and not word.startswith("-")
        (cells if own and is_setting(word) and "~" not in marks else first).append(word)
    return first, cells


def check_words(
    words: Sequence[str],
    *,
    keys: Collection[str],
    fixed: Callable[[str], Collection[str]],
    is_group: Callable[[str], bool],
    is_read: Callable[[str], bool],
) -> None:
    """Refuses words that Hydra takes and no run can use.

    These are words that nothing reads, a single value in the place of a node of settings, and the
    removal of what every run needs.

    Args:
        words: as typed.
        keys: the keys at the top of the config.
        fixed: the keys of one of `FIXED`.
        is_group: whether a folder of the config has this name.
        is_read: whether YAML of the user's own reads a key as `${key}`.

    Raises:
        ValueError: such a word; the message names it and the remedy.
    """
    for word in words:
        marks, key, value = split_word(word)
        if word.startswith("-"):
            continue
        if key in WHOLE and "~" not in marks and not re.match(r"[{$]", value):
            raise ValueError(f"{word}: {key} holds several settings; {WHOLE[key]}")
        if not marks:
            continue
        first, *rest = key.split(".")
        if "~" in marks:
            if not rest and first in keys and not is_group(first):
                raise ValueError(f"{word}: every run needs {first}; give it another value instead")
            continue
        if re.search(r"[/@]", key) or first == "hydra" or is_group(first):
            continue
        if any("${" + first in w for w in words) or is_read(first):
            continue
        if first not in keys:
            hint = nearest(first, list(keys))
            raise ValueError(f"{word}: nothing reads {first}; leave it out.{hint}")
        if first in FIXED and rest and rest[0] not in (known := fixed(first)):
            hint = nearest(rest[0], list(known))
            raise ValueError(f"{word}: nothing reads {key}; {first} has {', '.join(known)}.{hint}")
