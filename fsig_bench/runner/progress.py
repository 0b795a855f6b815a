"""The `Progress` of one adaptation: bar, curve.jsonl, checkpoints at intervals of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fsig_bench.api import process
from fsig_bench.api.stopping import stop_if_asked
from fsig_bench.console import Bar, console
from fsig_bench.store.curve import append_point
from fsig_bench.store.shared import SharedWork

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.store.store import Store


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
        code: Sequence[Sequence[str]] = (),
    ) -> None:
        self.store, self.folder = store, store.adapt_folder(key)
        self.place = {"stage": "checkpoint", "key": key}
        self.shared = SharedWork(store, precision, code)
        self.bar, self.checkpoint_s, self.curve = bar, checkpoint_s, curve
        self.start = self.last = time.perf_counter()
        self.before_s = self.wrote_s = 0.0

    @property
    def wall_s(self) -> float:
        """Seconds of this adaptation, those before a kill and of shared work included."""
        return self.before_s + self.shared.borrowed_s + time.perf_counter() - self.start

    def report(self, done: int, total: int, **values: float) -> None:
        self.bar.update(done, total)
        if process.rank() > 0:
            return
        line = {"done": done, "total": total, **{k: float(f"{v:.6g}") for k, v in values.items()}}
        append_point(self.folder / "curve.jsonl", line)
        if self.curve is not None:
            self.curve(done, total, values)
        stop_if_asked()

    def save(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        from fsig_bench.store.files import write_tensors

        # Gigabytes take long to write: `checkpoint_s` of work for each second of it, at least.
        pause = self.checkpoint_s * max(1.0, self.wrote_s)
        began = time.perf_counter()
        if process.rank() > 0 or began - self.last < pause:
            return
        metadata = {"done": str(done), "wall_s": f"{self.wall_s:.3f}"} | self.place
        write_tensors(self.folder / "checkpoint.safetensors", tensors, metadata)
        self.last = time.perf_counter()
        self.wrote_s = self.last - began

    def load(self) -> tuple[int, dict[str, Tensor]]:
        from fsig_bench.store.files import read_tensors

        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return 0, {}
        tensors, metadata = read_tensors(path, self.place)
        self.before_s = float(metadata["wall_s"])
        self.bar.resume_at(int(metadata["done"]))
        console.print(f"continuing from the checkpoint after step {metadata['done']}")
        return int(metadata["done"]), tensors
