"""Progress on the rim: a rich bar on a terminal, a few plain lines in a log."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fsig_bench.api import process

console = Console(highlight=False, soft_wrap=True, quiet=process.rank() > 0)


class Bar(AbstractContextManager["Bar"]):
    """One stage's progress, with its rate and the time that remains."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.start = time.perf_counter()
        self.done = self.first = 0
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>14}"),
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
            console.print(f"{self.title:<28} {self.done} {self.unit} in {spent:.1f} s")


def fail(error: Exception) -> None:
    """A user's error: one sentence on stderr, no traceback."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[bold red]error[/]: {error}", markup=True
    )
    sys.exit(1)


def duration(seconds: float | None) -> str:
    """For reading: "40 s", "12 min", "3.5 h"; "unknown" for None."""
    if seconds is None:
        return "unknown (it depends on the adaptation)"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
