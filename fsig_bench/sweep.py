"""Sweeps (`-m`): finished cells are passed over before any work, and one failure stops nothing.

Hydra's own sweeper composes every job twice, runs what is finished again, and stops at the first
error. This one composes each cell once, looks for its record and those of its controls, launches
the rest, and ends with a table of what failed and exit status 1.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from fsig_bench.console import console
from fsig_bench.controls import control_words, possible
from fsig_bench.settings import absent_assets, cell, resolved
from fsig_bench.store import Store

USERS = (ValueError, OSError, FloatingPointError, HydraException)  # errors that a user can mend


class CellSweeper(BasicSweeper):
    """Configured by conf/hydra/sweeper/cells.yaml."""

    def composed(self, words: Sequence[str]) -> DictConfig:
        """A job's configuration, without Hydra's own part."""
        assert self.hydra_context is not None and self.config is not None
        loader = self.hydra_context.config_loader
        cfg = loader.load_sweep_config(self.config, list(words))
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg

    def finished(self, words: Sequence[str]) -> tuple[bool, str]:
        """Whether a cell and its controls have their records, and the cell's folder.

        Raises:
            ValueError, OSError, HydraException: the cell cannot run as it is set.
        """
        cfg = self.composed(words)
        for group in ("method", "dataset"):
            if group not in cfg:
                raise ValueError(f"no {group} is chosen: add {group}=...")
        store = Store(cfg.results_dir)
        if absent_assets([resolved(cfg)[0]]):
            return False, f"{cfg.method.card.name} on {cfg.dataset.name}"
        folder = cell(cfg).folder
        done = store.record(folder) is not None
        for other in control_words(words, cfg) if done else ():
            control = self.composed(other)
            done = done and (
                not possible(control) or store.record(cell(control).folder) is not None
            )
        return done, str(store.root / folder)

    def sweep(self, arguments: list[str]) -> Any:
        """Looks at every cell, launches those that are left, reports."""
        assert self.config is not None and self.launcher is not None
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        jobs: list[list[str]] = [w for part in self.split_arguments(overrides, None) for w in part]
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        left: list[list[str]] = []
        failed: list[tuple[list[str], str]] = []
        only_look = self.config.preflight == "only"
        for words in jobs:
            try:
                done, folder = self.finished(words)
            except USERS as error:
                failed.append((words, str(error)))
                console.print(f"[bold red]error[/]: {self.said(words)}: {error}")
                continue
            if only_look:
                console.print(f"{'done' if done else 'to do':<6} {folder}")
            if not done or self.config.tracker.get("resend"):
                left.append(words)
        ready = len(jobs) - len(left) - len(failed)
        console.print(f"{len(jobs)} cells: {ready} finished, {len(left)} to run")
        results = []
        if left and not only_look:
            results = list(self.launcher.launch(left, initial_job_idx=0))
        for words, result in zip(left, results, strict=False):
            if result.status != JobStatus.COMPLETED:
                failed.append((words, str(result._return_value)))
        if failed:
            console.print(f"[bold red]{len(failed)} of {len(jobs)} cells failed[/]:")
            for words, message in failed:
                console.print(f"  {self.said(words)}: {message}")
            sys.exit(1)
        return results

    @staticmethod
    def said(words: Sequence[str]) -> str:
        """A job's overrides as one would type them."""
        return " ".join(w for w in words if not w.startswith(("controls=", "results_dir=")))


def register() -> None:
    """Makes the sweeper known to Hydra, which takes plugins of the package `hydra_plugins` only."""
    plugins = Plugins.instance()  # has looked through the real package by now
    try:
        home = importlib.import_module("hydra_plugins")
    except ImportError:
        home = sys.modules["hydra_plugins"] = ModuleType("hydra_plugins")
    alias = "hydra_plugins.fsig_bench"
    sys.modules[alias] = sys.modules[__name__]
    setattr(home, "fsig_bench", sys.modules[__name__])  # noqa: B010, a module has no such field
    CellSweeper.__module__ = alias
    plugins.register(CellSweeper)
