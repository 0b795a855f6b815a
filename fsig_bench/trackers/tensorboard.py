"""TensorBoard: event files in a folder per cell, below `tracker.dir`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.api.plain import Record
from fsig_bench.data.opening import open_image
from fsig_bench.trackers.base import Point, TrackedRun
from fsig_bench.trackers.values import (
    cost_values,
    metric_rows,
    metric_values,
    picture_paths,
    settings_flat,
)


class TensorBoardTracker:
    """Configured by conf/tracker/tensorboard.yaml."""

    def __init__(self, *, dir: str, pictures: bool) -> None:
        self.dir, self.pictures = Path(dir).expanduser(), pictures
        self.writer: Any = None

    def start(self, run: TrackedRun, past: Sequence[Point]) -> None:
        """Opens the cell's folder.

        Raises:
            ImportError: tensorboard is not installed; the message names the extra.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "tensorboard is not installed (pip install 'fsig-bench[tensorboard]')"
            ) from error
        folder = self.dir / Path(run.folder).relative_to("runs")
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()  # all that it held is written again: `past`, then what follows
        self.writer = SummaryWriter(str(folder))
        for point in past:
            values = {k: v for k, v in point.items() if k not in ("done", "total")}
            self.curve(int(point["done"]), int(point["total"]), values)

    def curve(self, done: int, total: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"adapt/{name}", value, done)

    def finish(self, record: Record, folder: Path) -> None:
        """Metrics and cost as scalars and as the results of hyperparameters; pictures; a table."""
        import numpy as np

        numbers = {**metric_values(record), **cost_values(record)}
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, 0)
        scores = {f"hparam/{k}": v for k, v in metric_values(record).items()}
        self.writer.add_hparams(settings_flat(record["config"]), scores, run_name=".")
        shown = picture_paths(record, folder) if self.pictures else {}
        for name, path in shown.items():
            with open_image(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self.writer.add_image(f"pictures/{name}", pixels, 0, dataformats="HWC")
        lines = ["| metric | value | standard error | features |", "|---|--:|--:|---|"]
        lines += [f"| {r[1]} | {r[2]} | {r[3]} | {r[4]} |" for r in metric_rows(record)]
        self.writer.add_text("metrics", "\n".join(lines), 0)
        self.writer.close()

    def fail(self, error: BaseException) -> None:
        self.writer.add_text("error", f"{type(error).__name__}: {error}", 0)
        self.writer.close()
