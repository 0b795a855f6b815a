"""The terminal: progress bars, messages, and the words that a user types."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from fsig_bench.api import process
from fsig_bench.help import asks_for_help, nearest, word_usage

# Text is printed as it is: "[bold]" and ":cat:" may be parts of a path.
PLAIN = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}
console = Console(**PLAIN, quiet=process.rank() > 0)  # type: ignore[arg-type]

LONG_STAGE_S = 60.0  # in a sweep, only longer stages get a line

_in_sweep: ContextVar[bool] = ContextVar("in_sweep", default=False)


@contextmanager
def brief_stages() -> Iterator[None]:
    """Inside, short stages print no line of their own: a sweep prints one on the whole cell."""
    token = _in_sweep.set(True)
    try:
        yield
    finally:
        _in_sweep.reset(token)


def stage_line(text: str, seconds: float = 0.0) -> None:
    """Prints that a stage is done, unless it was short and a cell of a sweep is running."""
    if seconds >= LONG_STAGE_S or not _in_sweep.get():
        console.print(text)


class Bar(AbstractContextManager["Bar"]):
    """One stage's progress, with its rate and the time that remains."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.start = time.perf_counter()
        self.done = self.first = 0
        columns = (
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>14}", markup=False),
            TimeRemainingColumn(),
        )
        self.live = console.is_terminal
        self.progress = Progress(*columns, console=console, transient=True, disable=not self.live)

    def __enter__(self) -> Bar:
        self.progress.start()
        self.task = self.progress.add_task(self.title, total=self.total, rate="")
        return self

    def update(self, done: int, total: int | None = None) -> None:
        """Moves to `done` of `total`."""
        self.done, self.total = done, total or self.total
        spent = max(time.perf_counter() - self.start, 1e-9)
        rate = f"{(done - self.first) / spent:.1f} {self.unit}/s"
        self.progress.update(self.task, completed=done, total=self.total, rate=rate)

    def resume_at(self, done: int) -> None:
        """What an earlier run had finished does not count into the rate."""
        self.first = done
        self.update(done)

    def __exit__(self, *error: object) -> None:
        self.progress.stop()
        if error[0] is None:
            spent = time.perf_counter() - self.start
            stage_line(f"{self.title:<28} {self.done} {self.unit} in {spent:.1f} s", spent)


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
    """A setting that is true or false; ValueError if it is neither."""
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


def exit_status(main: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """Runs a word's work; a user's error is one sentence on stderr, Ctrl-C one line.

    Args:
        main: does the work and returns its exit status.
        words: what follows the word.
    """
    try:
        return main(words)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


def run_word(word: str, main: Callable[[Sequence[str]], int]) -> int:
    """The work of a word as a module of its own, `python -m fsig_bench.WORD`."""
    words = sys.argv[1:]
    if asks_for_help(words):
        print(word_usage(word))
        return 0
    return exit_status(main, words)


def print_error(error: object, where: Console = console) -> None:
    """A line on an error, its first word in red."""
    where.print(Text.assemble(("error", "bold red"), f": {error}"))


def fail(error: Exception) -> NoReturn:
    """A user's error: one sentence on stderr, no traceback."""
    print_error(error, Console(**PLAIN, stderr=True))  # type: ignore[arg-type]
    sys.exit(1)


def printable(text: str) -> str:
    """Text of unknown origin, such as a file's name, without what moves a terminal's cursor."""
    shown = text.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in shown)


def duration(seconds: float | None) -> str:
    """For reading: "40 s", "12 min", "3.5 h"; "unknown" for None."""
    if seconds is None:
        return "unknown (it depends on the adaptation)"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
