"""Weights & Biases: one run per cell, under the cell's run id."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from fsig_bench.api.files import make_folder
from fsig_bench.api.plain import Record
from fsig_bench.trackers.base import Point, TrackedRun, sweep_name
from fsig_bench.trackers.values import (
    METRIC_COLUMNS,
    cost_values,
    metric_rows,
    metric_values,
    picture_paths,
)

MODES = ("offline", "online", "disabled")


def _library() -> ModuleType:
    try:
        return import_module("wandb")
    except ImportError as error:
        raise ImportError("wandb is not installed (pip install 'fsig-bench[wandb]')") from error


class WandbTracker:
    """Configured by conf/tracker/wandb.yaml."""

    def __init__(
        self,
        *,
        project: str,
        entity: str | None,
        mode: str,
        dir: str,
        group: str | None,
        pictures: bool,
        init_timeout_s: float,
        finish_timeout_s: float,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"tracker.mode={mode}: choose one of {', '.join(MODES)}")
        self.project, self.entity, self.mode = project, entity, mode
        self.dir, self.group, self.pictures = Path(dir).expanduser(), group, pictures
        self.timeouts = {"init_timeout": init_timeout_s, "finish_timeout": finish_timeout_s}
        self.run: Any = None

    def start(self, run: TrackedRun, past: Sequence[Point]) -> None:
        """Opens the run.

        Raises:
            ImportError: wandb is not installed; the message names the extra.
            ValueError: online, and nobody is logged in.
        """
        if self.mode == "disabled":
            return
        wandb = _library()
        if self.mode == "online":
            self._check_login(wandb)
        make_folder(self.dir)  # wandb falls back to /tmp where it is not
        who = run.identity
        known = wandb.Settings.model_fields if hasattr(wandb.Settings, "model_fields") else ()
        timeouts = {k: v for k, v in self.timeouts.items() if k in known}
        self.run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=str(self.dir),
            id=run.run_id,
            resume="allow",
            reinit="finish_previous",
            group=self.group or sweep_name(),
            job_type=run.kind,
            name=f"{who['method']}-{who['dataset']}-k{who['k']}-seed{who['seed']}",
            tags=[who["suite"], who["method"], who["dataset"], f"k{who['k']}", who["protocol"]],
            config={
                **run.settings,
                "run_id": run.run_id,
                "protocol_hash": run.protocol_hash,
            },
            # Our own lines stay on the terminal; wandb's are for the log.
            settings=wandb.Settings(quiet=True, console="off", **timeouts),
        )
        self.run.define_metric("adapt/done")
        self.run.define_metric("adapt/*", step_metric="adapt/done")
        if not self.run.resumed:
            for point in past:
                values = {k: v for k, v in point.items() if k not in ("done", "total")}
                self.curve(int(point["done"]), int(point["total"]), values)

    @staticmethod
    def _check_login(wandb: ModuleType) -> None:
        # Without this, wandb asks on the terminal and the run waits for an answer.
        if "prompt" in inspect.signature(wandb.login).parameters and not wandb.login(prompt=False):
            raise ValueError(
                "nobody is logged in to wandb (`wandb login` or WANDB_API_KEY; "
                "tracker.mode=offline needs no login)"
            )

    def curve(self, done: int, total: int, values: Mapping[str, float]) -> None:
        if self.run is not None:
            named = {f"adapt/{k}": v for k, v in values.items()}
            self.run.log({"adapt/done": done, "adapt/total": total, **named})

    def finish(self, record: Record, folder: Path) -> None:
        """Metrics, cost, pictures and a table of the metrics; then closes the run."""
        if self.run is None:
            return
        wandb = _library()
        self.run.config.update(record["config"], allow_val_change=True)
        pictures = picture_paths(record, folder) if self.pictures else {}
        shown = {f"pictures/{k}": wandb.Image(str(path)) for k, path in pictures.items()}
        table = wandb.Table(columns=METRIC_COLUMNS, data=metric_rows(record))
        self.run.log({**shown, "metrics": table})
        self.run.summary.update({**metric_values(record), **cost_values(record)})
        self.run.summary.update({"pixels_sha256": record["pixels_sha256"]})
        self._close(0)

    def fail(self, error: BaseException) -> None:
        if self.run is not None:
            self.run.summary.update({"error": f"{type(error).__name__}: {error}"[:500]})
            self._close(1)

    def _close(self, exit_code: int) -> None:
        run, self.run = self.run, None
        run.finish(exit_code=exit_code)
