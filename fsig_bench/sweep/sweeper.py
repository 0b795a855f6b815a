"""Sweeps (`-m`): finished cells are passed over before any work, and one failure stops nothing.

Hydra's own sweeper composes every job twice, runs what is finished again, and stops at the first
error. This one composes each cell once, looks for its record and those of its controls, launches
the rest, and ends with a table of what failed and exit status 1.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from fsig_bench.console import console, fail
from fsig_bench.runner.cell import absent_assets
from fsig_bench.runner.compose import explained
from fsig_bench.runner.controls import applies, control_overrides
from fsig_bench.runner.resolve import resolve
from fsig_bench.store.lock import Busy
from fsig_bench.store.status import read_status, write_status
from fsig_bench.store.store import Store
from fsig_bench.sweep.jobs import at_once, check_installed, shared_threads
from fsig_bench.sweep.launchers import RayLauncher, SubmititLauncher
from fsig_bench.sweep.plan import Planned, plan
from fsig_bench.sweep.plan_cache import Memo, cacheable

USERS = (ValueError, OSError, FloatingPointError, HydraException)  # errors that a user can mend


@dataclass(frozen=True, kw_only=True)
class Job:
    """One point of a sweep: a cell and its controls, and what of them was on disk."""

    words: list[str]
    runs: tuple[Planned, ...]  # none: not known before files of others are there
    done: tuple[bool, ...]
    root: Path

    @property
    def finished(self) -> bool:
        return bool(self.runs) and all(self.done)

    @property
    def folder(self) -> Path:
        """Of the cell itself."""
        return self.root / self.runs[0].folder if self.runs else self.root / "runs"

    def now_finished(self) -> bool:
        """Whether all records are there by now."""
        records = [self.root / run.folder / "record.json" for run in self.runs]
        return bool(records) and all(path.exists() for path in records)


class CellSweeper(BasicSweeper):
    """Configured by conf/hydra/sweeper/cells.yaml."""

    def setup(self, *, config: DictConfig, **parts: Any) -> None:
        try:
            check_installed(config.hydra.launcher._target_)
        except ValueError as error:
            fail(error)
        super().setup(config=config, **parts)

    def composed(self, words: Sequence[str]) -> DictConfig:
        """A job's configuration, without Hydra's own part."""
        assert self.hydra_context is not None and self.config is not None
        loader = self.hydra_context.config_loader
        compose_words = partial(loader.load_sweep_config, self.config)
        try:
            cfg = compose_words(list(words))
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(explained(error, words, compose_words=compose_words)) from error
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg

    def runs_of(self, words: Sequence[str], memo: Memo) -> tuple[list[Planned], Path]:
        """The runs that a job stands for, its cell first, and their results folder.

        No runs where files of others are missing: which runs they are depends on them.

        Raises:
            ValueError, OSError, HydraException: the cell cannot run as it is set.
        """
        assert self.config is not None
        if known := memo.get(words):
            return known, Store(self.config.results_dir).root
        cfg = self.composed(words)
        for group in ("method", "dataset"):
            if group not in cfg:
                raise ValueError(f"no {group} is chosen: add {group}=...")
        cell = resolve(cfg)
        root = Store(cfg.results_dir).root
        if absent_assets([cell]):
            return [], root
        controls = filter(applies, map(self.composed, control_overrides(words, cfg)))
        runs = [Planned.of(c) for c in (cell, *map(resolve, controls))]
        if cacheable(cell) and cfg.results_dir == self.config.results_dir:
            memo.put(words, runs)
        return runs, root

    def look(self, jobs: Sequence[list[str]]) -> tuple[list[Job], list[tuple[list[str], str]]]:
        """Every job with what is on disk, and those that cannot run as they are set."""
        assert self.config is not None
        memo = Memo(Store(self.config.results_dir).root)
        seen, failed = [], []
        for words in jobs:
            try:
                runs, root = self.runs_of(words, memo)
            except USERS as error:
                failed.append((words, str(error)))
                console.print(f"[bold red]error[/]: {self.said(words)}: {error}")
                continue
            done = tuple((root / run.folder / "record.json").exists() for run in runs)
            seen.append(Job(words=words, runs=tuple(runs), done=done, root=root))
        memo.keep()
        return seen, failed

    def sweep(self, arguments: list[str]) -> Any:
        """Looks at every cell, launches those that are left, reports."""
        assert self.config is not None and self.launcher is not None
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        jobs: list[list[str]] = [w for part in self.split_arguments(overrides, None) for w in part]
        seen, failed = self.look(jobs)
        again = self.config.tracker.get("resend")
        left = [job for job in seen if again or not job.finished]
        ready = len(seen) - len(left)
        if self.config.dry_run:
            pairs = [pair for job in seen for pair in zip(job.runs, job.done, strict=True)]
            for line in plan(list(dict.fromkeys(pairs)), Store(self.config.results_dir).root):
                console.print(line)
        if self.config.preflight == "only":
            for job in seen:
                console.print(f"{'done' if job.finished else 'to do':<6} {job.folder}")
        console.print(f"{len(jobs)} cells: {ready} finished, {len(left)} to run")
        results: list[Any] = []
        if not self.config.dry_run and self.config.preflight != "only":
            if self.config.on_failed == "skip":
                before = [(job, read_status(job.folder)) for job in left]
                failed += [
                    (job.words, f"failed before ({said['error']}); on_failed=retry tries again")
                    for job, said in before
                    if said.get("status") == "failed"
                ]
                left = [job for job, said in before if said.get("status") != "failed"]
            results, broken = self.launch(left)
            failed += broken
        if failed:
            console.print(f"[bold red]{len(failed)} of {len(jobs)} cells failed[/]:")
            for words, message in failed:
                console.print(f"  {self.said(words)}: {message}")
            sys.exit(1)
        return results

    def launch(self, left: Sequence[Job]) -> tuple[list[Any], list[tuple[list[str], str]]]:
        """Runs jobs; those that another process is at come again at the end, and wait for it."""
        assert self.config is not None and self.launcher is not None
        if not left:
            return [], []
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        for job in left:
            if job.runs and not (job.folder / "status.json").exists():
                write_status(job.folder, "pending", f"python -m fsig_bench {' '.join(job.words)}")
        results: list[Any] = []
        failed: list[tuple[list[str], str]] = []
        busy: list[Job] = []
        with shared_threads(self.config.hydra.launcher, len(left)):
            for later in (False, True):
                now = busy if later else list(left)
                said = [] if later else ["on_busy=defer"]
                busy = []
                for job, result in zip(now, self.tried(now, said), strict=True):
                    if isinstance(result, JobReturn) and result.status == JobStatus.COMPLETED:
                        results.append(result)
                    elif isinstance(why := getattr(result, "_return_value", result), Busy):
                        busy.append(job)
                    else:
                        failed.append((job.words, read_status(job.folder).get("error") or str(why)))
        return results, failed

    def tried(self, jobs: Sequence[Job], more: Sequence[str], again: bool = True) -> list[Any]:
        """A result or an error for each job, whatever the launcher makes of a dead process."""
        assert self.launcher is not None
        if not jobs:
            return []
        try:
            return list(self.launcher.launch([[*j.words, *more] for j in jobs], initial_job_idx=0))
        except Exception as error:  # launchers raise kinds of their own
            left = [n for n, job in enumerate(jobs) if not job.now_finished()]
            broken: list[Any] = [error] * len(left)
            # joblib: one process that dies takes the others along, and what they had begun.
            if again and any(read_status(jobs[n].folder).get("status") == "running" for n in left):
                console.print(f"a process died; {len(left)} unfinished cells start once more")
                broken = self.tried([jobs[n] for n in left], more, again=False)
            outcomes = dict(zip(left, broken, strict=True))
            done = JobReturn(status=JobStatus.COMPLETED)
            return [outcomes.get(n, done) for n in range(len(jobs))]

    @staticmethod
    def said(words: Sequence[str]) -> str:
        """A job's overrides as one would type them."""
        return " ".join(w for w in words if not w.startswith(("controls=", "results_dir=")))


def register() -> None:
    """Makes the sweeper and our launchers known to Hydra, which takes `hydra_plugins.*` only."""
    plugins = Plugins.instance()  # has looked through the real package by now
    try:
        home = importlib.import_module("hydra_plugins")
    except ImportError:
        home = sys.modules["hydra_plugins"] = ModuleType("hydra_plugins")
    alias = "hydra_plugins.fsig_bench"
    sys.modules[alias] = sys.modules[__name__]
    setattr(home, "fsig_bench", sys.modules[__name__])  # noqa: B010, a module has no such field
    for plugin in (CellSweeper, SubmititLauncher, RayLauncher):
        plugin.__module__ = alias
        plugins.register(plugin)
    OmegaConf.register_new_resolver("fsig.at_once", at_once, replace=True)
