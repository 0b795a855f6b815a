"""The jobs of a sweep: which runs each of them asks for, and what of these is on disk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from fsig_bench.api.assets import Asset
from fsig_bench.console import print_error
from fsig_bench.runner.cell import absent_assets
from fsig_bench.runner.compose import explained
from fsig_bench.runner.composition import compose_words, given_config_folders, words_of_search_path
from fsig_bench.runner.controls import control_configs
from fsig_bench.runner.resolve import resolve
from fsig_bench.store.records import is_usable, usable_record
from fsig_bench.store.store import Store
from fsig_bench.sweep.plan import PlannedRun
from fsig_bench.sweep.plan_cache import PlanCache, cacheable
from fsig_bench.sweep.titles import cell_title, typed, varying_keys

USER_ERRORS = (ValueError, OSError, FloatingPointError, HydraException)  # a user can correct these

Failure = tuple[list[str], str]  # the overrides of a job, why it failed


@dataclass(frozen=True, kw_only=True)
class Job:
    """One point of a sweep: a cell and its controls, and which of their records are on disk."""

    number: int  # from 1
    overrides: list[str]
    runs: tuple[PlannedRun, ...]  # empty: files of `absent` are missing, so they are not known yet
    done: tuple[bool, ...]
    root: Path
    title: str
    absent: tuple[Asset, ...] = ()  # files to be downloaded that are not there

    @property
    def finished(self) -> bool:
        return bool(self.runs) and all(self.done)

    @property
    def folder(self) -> Path:
        """The run folder of the cell itself."""
        return self.root / self.runs[0].folder if self.runs else self.root / "runs"

    @property
    def records(self) -> list[Path]:
        """Where the records of the cell and its controls are, or will be."""
        return [self.root / run.folder / "record.json" for run in self.runs]

    def is_finished_now(self) -> bool:
        """Whether all records are there by now, whole and their own."""
        return bool(self.runs) and all(map(is_usable, self.records))


class JobPlanner:
    """Finds the runs of jobs: composes each job once, or takes it from the plan cache."""

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self.loader, self.config = loader, config

    def composed(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a job, without Hydra's own part.

        Raises:
            ValueError: the overrides do not compose; the message names the one that is wrong.
        """
        compose_typed = partial(
            compose_words, more=words_of_search_path(self.loader, self.config.hydra.searchpath)
        )
        try:
            return compose_typed(list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            reason = explained(error, overrides, compose_typed=compose_typed)
            raise ValueError(reason) from error

    def runs_of(
        self, overrides: Sequence[str], cache: PlanCache
    ) -> tuple[list[PlannedRun], list[Asset], Path]:
        """The runs that a job asks for, the cell first, what it lacks, and their results folder.

        There are no runs if downloaded files are missing, since the runs depend on their content.

        Raises:
            ValueError, OSError, HydraException: the cell cannot run with these settings.
        """
        if known := cache.get(overrides):
            return known, [], Store(self.config.results_dir).root
        cfg = self.composed(overrides)
        for group in ("method", "dataset"):
            if group not in cfg:
                raise ValueError(f"no {group} is chosen: add {group}=...")
        cell = resolve(cfg)
        root = Store(cfg.results_dir).root
        controls = control_configs(overrides, cfg, self.composed)
        cells = [cell, *map(resolve, controls)]
        if absent := absent_assets(cells):
            return [], absent, root
        runs = [PlannedRun.of(c) for c in cells]
        if cacheable(cell) and cfg.results_dir == self.config.results_dir:
            cache.put(overrides, runs)
        return runs, [], root

    def plan_jobs(
        self, jobs: Sequence[list[str]], only: Collection[int] | None = None
    ) -> tuple[list[Job], list[Failure]]:
        """The jobs with what is on disk, and those that cannot run with their settings.

        Args:
            jobs: the overrides of every job of the sweep.
            only: the numbers of the jobs that are planned, from 1; None: all.
        """
        folders = given_config_folders(self.loader, self.config.hydra.searchpath)
        cache = PlanCache(Store(self.config.results_dir).root, folders)
        varying = varying_keys(jobs)
        planned: list[Job] = []
        failed: list[Failure] = []
        for number, overrides in enumerate(jobs, 1):
            if only is not None and number not in only:
                continue
            try:
                runs, absent, root = self.runs_of(overrides, cache)
            except USER_ERRORS as error:
                failed.append((overrides, str(error)))
                print_error(f"{typed(overrides)}: {error}")
                continue
            title = cell_title(overrides, varying, runs[0] if runs else None)
            job = Job(
                number=number,
                overrides=overrides,
                runs=tuple(runs),
                done=(),
                root=root,
                title=f"cell {number} of {len(jobs)}: {title}",
                absent=tuple(absent),
            )
            done = tuple(usable_record(path) is not None for path in job.records)
            planned.append(replace(job, done=done))
        cache.save()
        return planned, failed
