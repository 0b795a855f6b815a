"""Progress on the rim: a rich bar on a terminal, a few plain lines in a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fsig_bench import team
from fsig_bench.shared import SharedWork

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.store import Store

console = Console(highlight=False, soft_wrap=True, quiet=team.rank() > 0)


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


class StageProgress:
    """The `Progress` of an adaptation: bar, curve.jsonl, time-throttled checkpoints."""

    def __init__(
        self,
        store: Store,
        key: str,
        bar: Bar,
        checkpoint_s: float,
        curve: Callable[[int, int, Mapping[str, float]], None] | None = None,
        precision: str = "fp32",
    ) -> None:
        self.store, self.folder = store, store.adapt_folder(key)
        self.shared = SharedWork(store, precision)
        self.bar, self.checkpoint_s, self.curve = bar, checkpoint_s, curve
        self.start = self.last = time.perf_counter()
        self.before_s = self.wrote_s = 0.0

    @property
    def wall_s(self) -> float:
        """Seconds of this adaptation, those before a kill and of shared work included."""
        return self.before_s + self.shared.owed_s + time.perf_counter() - self.start

    def report(self, done: int, total: int, **values: float) -> None:
        self.bar.update(done, total)
        if team.rank() > 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        line = {"done": done, "total": total, **{k: round(v, 6) for k, v in values.items()}}
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.curve is not None:
            self.curve(done, total, values)

    def save(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        from fsig_bench.store import write_tensors

        # Gigabytes take long to write: `checkpoint_s` of work for each second of it, at least.
        pause = self.checkpoint_s * max(1.0, self.wrote_s)
        began = time.perf_counter()
        if team.rank() > 0 or began - self.last < pause:
            return
        metadata = {"done": str(done), "wall_s": f"{self.wall_s:.3f}"}
        write_tensors(self.folder / "checkpoint.safetensors", tensors, metadata)
        self.last = time.perf_counter()
        self.wrote_s = self.last - began

    def load(self) -> tuple[int, dict[str, Any]]:
        from fsig_bench.store import read_tensors

        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return 0, {}
        tensors, metadata = read_tensors(path)
        self.before_s = float(metadata["wall_s"])
        self.bar.resume_at(int(metadata["done"]))
        console.print(f"continuing from the checkpoint after step {metadata['done']}")
        return int(metadata["done"]), tensors


def fail(error: Exception) -> None:
    """A user's error: one sentence on stderr, no traceback."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[bold red]error[/]: {error}", markup=True
    )
    sys.exit(1)
