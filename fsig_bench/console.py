"""The terminal: progress bars and messages, and how a word of the command line ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from fsig_bench.api import process
from fsig_bench.help import asks_for_help, word_usage


def plain_console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """It prints text as it is: "[bold]" and ":cat:" may be parts of a path."""
    return Console(
        markup=False, emoji=False, highlight=False, soft_wrap=True, quiet=quiet, stderr=stderr
    )


console = plain_console(quiet=process.rank() > 0)

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
    print_error(error, plain_console(stderr=True))
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
