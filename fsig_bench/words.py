"""What a user types behind a word of the command line: settings, folders, switches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.help import nearest


@dataclass(frozen=True, kw_only=True)
class GivenWords:
    """What follows a word of the command line, sorted."""

    settings: Mapping[str, str]  # key=value
    positional: list[str]
    config_dir: Path | None  # a folder of YAML of the user's own


def parse_words(
    words: Sequence[str],
    *,
    word: str,
    keys: Sequence[str],
    aliases: Mapping[str, str] | None = None,
    positional: Sequence[str] | None = None,
) -> GivenWords:
    """Sorts what follows a word of the command line.

    Args:
        words: as typed.
        word: the word that they follow, for messages.
        keys: the keys that `key=value` may have.
        aliases: older keys and what they are called now.
        positional: what may stand without `=`; None: anything, such as folders.

    Raises:
        ValueError: an unknown key, word or option; the message names the nearest known one.
    """
    settings: dict[str, str] = {}
    rest: list[str] = []
    left, config_dir = split_config_dir(words)
    for typed in left:
        if typed.startswith("-"):
            raise ValueError(f"{word} has no option {typed}; see fsig-bench {word} --help")
        elif typed.startswith("hydra.searchpath="):
            config_dir = searched_folder(typed.partition("=")[2])
        elif "=" in typed and not Path(typed).exists():
            key, _, value = typed.partition("=")
            key = (aliases or {}).get(key, key)
            if key not in keys:
                hint = nearest(key, list(keys)) or f" It takes {', '.join(f'{k}=' for k in keys)}."
                raise ValueError(f"{word} knows no {key}=.{hint}")
            settings[key] = value
        elif positional is not None and typed not in positional:
            hint = nearest(typed, list(positional)) or f" It takes {', '.join(positional)}."
            raise ValueError(f"{word} knows no {typed!r}.{hint}")
        else:
            rest.append(typed)
    return GivenWords(settings=settings, positional=rest, config_dir=config_dir)


def switch(settings: Mapping[str, str], key: str, *, default: bool) -> bool:
    """A setting that is true or false.

    Raises:
        ValueError: it is neither.
    """
    return read_switch(key, settings[key]) if key in settings else default


def read_switch(key: str, typed: str) -> bool:
    """What was typed for a setting that is true or false; ValueError if it is neither."""
    if typed.lower() not in ("true", "false"):
        raise ValueError(f"{key}={typed}: choose true or false")
    return typed.lower() == "true"


def split_config_dir(words: Sequence[str]) -> tuple[list[str], Path | None]:
    """Overrides without `--config-dir DIR`, and the folder that it names, if it is there."""
    left, config_dir = list(words), None
    for n, typed in enumerate(words):
        if typed in ("--config-dir", "-cd") and n + 1 < len(words):
            config_dir = existing_folder(words[n + 1], key="--config-dir")
            left = [*words[:n], *words[n + 2 :]]
        elif typed.startswith("--config-dir="):
            config_dir = existing_folder(typed.partition("=")[2], key="--config-dir")
            left = [*words[:n], *words[n + 1 :]]
    return left, config_dir


def searched_folder(text: str) -> Path:
    """The folder of `hydra.searchpath=[file://DIR]`, which means the same as `--config-dir DIR`.

    Raises:
        ValueError: more than one folder, or one that is not there.
    """
    folders = [part.strip(" '\"") for part in text.strip().strip("[]").split(",")]
    if len(folders) != 1:
        raise ValueError(f"hydra.searchpath={text}: name one folder here, as --config-dir DIR does")
    return existing_folder(folders[0].removeprefix("file://"), key="hydra.searchpath")


def existing_folder(text: str, *, key: str) -> Path:
    """The folder that a user named.

    Raises:
        ValueError: there is none; the message says where it was looked for.
    """
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise ValueError(f"{key} {text}: there is no folder {folder.absolute()}")
    return folder


def results_root(text: str) -> Path:
    """The results folder that a user named: itself, or its `runs` below it.

    Raises:
        ValueError: there is no such folder.
    """
    folder = existing_folder(text, key="results_dir")
    return folder.parent if folder.name == "runs" else folder
