"""What a tracker is, and the guard that keeps one from ever stopping a run.

A tracker receives the beginning of a run, each point of the adaptation curve, and the record.
It is outside every stage key: a run's id and numbers are the same whatever the tracker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from fsig_bench.api.plain import Json, Record
from fsig_bench.console import console
from fsig_bench.store.curve import read_curve

Point = Mapping[str, float]  # a line of curve.jsonl: done, total and the values reported there
NOT_PASSED = ("name", "resend")  # keys of conf/tracker/*.yaml that are not the constructor's


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What a tracker knows of the run that it follows."""

    run_id: str
    identity: Json  # suite, method, dataset, k, seed, subset, protocol
    kind: str  # of the method: "method" or "control"
    settings: Json  # as the record will hold them
    protocol_hash: str
    folder: str  # of the run, below the results folder


class Tracker(Protocol):
    """Told what happens to one cell, in this order; `fail` in place of `finish`."""

    def start(self, run: TrackedRun, past: Sequence[Point]) -> None:
        """Opens the tracker's run; `past` are curve points that earlier processes left."""

    def curve(self, done: int, total: int, values: Mapping[str, float]) -> None:
        """A new point of the adaptation, after `done` of `total` steps."""

    def finish(self, record: Record, folder: Path) -> None:
        """The finished record, and the folder that holds it and its pictures."""

    def fail(self, error: BaseException) -> None:
        """The cell stopped; the same command continues it later."""


class NoTracker:
    """Records on disk only."""

    def __init__(self, *, pictures: bool = False) -> None:
        """Takes what every tracker takes."""

    def start(self, run: TrackedRun, past: Sequence[Point]) -> None:
        return None

    def curve(self, done: int, total: int, values: Mapping[str, float]) -> None:
        return None

    def finish(self, record: Record, folder: Path) -> None:
        return None

    def fail(self, error: BaseException) -> None:
        return None


class SafeTracker:
    """A tracker whose errors are printed in one line, once a process, and end the tracking only.

    A tracker that cannot start (library or login missing) is not tried again for the other cells
    of the process: each try may wait for a network.
    """

    unusable: ClassVar[set[str]] = set()  # names of trackers that could not start
    printed: ClassVar[set[str]] = set()  # lines that were printed

    def __init__(self, name: str, build: Callable[[], Tracker]) -> None:
        self.name, self.build = name, build
        self.tracker: Tracker | None = None

    def _try(self, call: Callable[[Tracker], None]) -> bool:
        if self.tracker is None:
            return False
        try:
            call(self.tracker)
            return True
        except Exception as error:
            self.tracker = None
            self._say(error)
            return False

    def _say(self, error: Exception) -> None:
        words = " ".join(str(error).split()) or type(error).__name__
        line = f"tracker={self.name}: {words}; the run goes on without it"
        if line not in self.printed:
            self.printed.add(line)
            console.print(line)

    def start(self, run: TrackedRun, past: Sequence[Point]) -> None:
        if self.name in self.unusable:
            return
        try:
            self.tracker = self.build()
        except Exception as error:
            self._say(error)
        if not self._try(lambda t: t.start(run, past)):
            self.unusable.add(self.name)

    def curve(self, done: int, total: int, values: Mapping[str, float]) -> None:
        self._try(lambda t: t.curve(done, total, values))

    def finish(self, record: Record, folder: Path) -> None:
        self._try(lambda t: t.finish(record, folder))

    def fail(self, error: BaseException) -> None:
        self._try(lambda t: t.fail(error))


def past_points(path: Path) -> list[Point]:
    """A curve.jsonl in order of `done`; after a kill the later of two points counts."""
    points = {point["done"]: point for point in read_curve(path) if "done" in point}
    return [points[done] for done in sorted(points)]


@contextmanager
def tracking(run: TrackedRun, spec: Json, curve_file: Path) -> Iterator[SafeTracker]:
    """The run's tracker, started; an error inside is passed to it and raised again.

    Args:
        run: what the tracker is to follow.
        spec: the config's `tracker`.
        curve_file: the run's curve.jsonl, with the points of earlier processes, if it exists.
    """

    def build() -> Tracker:
        from hydra.utils import instantiate

        kept = {k: v for k, v in spec.items() if k not in NOT_PASSED}
        tracker: Tracker = instantiate(kept, _convert_="all")
        return tracker

    tracker = SafeTracker(spec["name"], build)
    tracker.start(run, past_points(curve_file))
    try:
        yield tracker
    except BaseException as error:
        tracker.fail(error)
        raise


def sweep_name() -> str | None:
    """The current sweep's experiment, or the name of its folder; None outside a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    hydra = HydraConfig.get()
    return hydra.runtime.choices.get("experiment") or Path(hydra.sweep.dir).name
