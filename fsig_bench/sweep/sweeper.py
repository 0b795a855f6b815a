"""Sweeps (`-m`): finished cells cost no work, and a cell that fails does not stop the others.

Hydra's own sweeper composes every job twice, runs finished jobs again, and stops at the first
error. This one composes each cell once, looks for its record and for those of its controls,
launches the cells that are left, and ends with a summary of all cells, the list of those that
failed, and exit status 1 if there are any.
"""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from fsig_bench.api.files import make_folder
from fsig_bench.console import console, fail
from fsig_bench.store.lock import Busy
from fsig_bench.store.status import read_status, write_status
from fsig_bench.store.store import Store
from fsig_bench.sweep.fetching import fetch_absent
from fsig_bench.sweep.jobs import check_installed, jobs_that_fit, shared_threads
from fsig_bench.sweep.launchers import RayLauncher, SubmititLauncher
from fsig_bench.sweep.plan import plan_lines
from fsig_bench.sweep.planner import Failure, Job, JobPlanner
from fsig_bench.sweep.titles import name_override, typed


class CellSweeper(BasicSweeper):
    """Configured by conf/hydra/sweeper/cells.yaml."""

    # Prints the summary of a sweep, from the records of its finished cells.
    summarise: ClassVar[Callable[[Sequence[Path]], None]]
    # Typed words that fit the config of a cell only; Hydra's first config is without them.
    cell_words: ClassVar[list[str]] = []

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        experiments: Sequence[str] | None = None,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.experiments = tuple(experiments or ())

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        try:
            check_installed(config.hydra.launcher._target_)
        except ValueError as error:
            fail(error)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Plans all cells, launches those that are left, and reports on all."""
        assert self.config is not None and self.launcher is not None
        assert self.hydra_context is not None
        jobs = self.all_jobs(arguments)
        planner = JobPlanner(self.hydra_context.config_loader, self.config)
        planned, failed = planner.plan_jobs(jobs)
        preview = self.config.dry_run or self.config.preflight == "only"
        if not preview:
            planned, lacking = fetch_absent(planned, partial(planner.plan_jobs, jobs))
            failed += lacking
        resend = self.config.tracker.get("resend")
        left = [job for job in planned if resend or not job.finished]
        ready = len(planned) - len(left)
        self.preview(planned)
        console.print(f"{len(jobs)} cells: {ready} finished, {len(left)} to run")
        results: list[JobReturn] = []
        if not preview:
            if self.config.on_failed == "skip":
                left, skipped = self.skip_failed(left)
                failed += skipped
            results, broken = self.launch(left)
            failed += broken
            self.summarise_records(planned, planner)
        if failed:
            head = f"{len(failed)} of {len(jobs)} cells failed"
            console.print(Text.assemble((head, "bold red"), ":"))
            for job_overrides, reason in failed:
                console.print(f"  {typed(job_overrides)}: {reason}")
            sys.exit(1)
        return results

    def all_jobs(self, arguments: Sequence[str]) -> list[list[str]]:
        """The overrides of every job.

        An experiment that names others in `hydra.sweeper.experiments` stands for all their jobs;
        what is typed besides counts in each of them.
        """
        own = [*arguments, *type(self).cell_words]
        if not self.experiments:
            return self.product([*self._parse_config(), *own])
        assert self.hydra_context is not None and self.config is not None
        kept = [word for word in own if not word.startswith("experiment=")]
        found = []
        for name in self.experiments:
            word = f"experiment={name}"
            part = self.hydra_context.config_loader.load_sweep_config(self.config, [word])
            params = [f"{key}={value}" for key, value in part.hydra.sweeper.params.items()]
            found += self.product([word, *params, *kept])
        return found

    def product(self, words: Sequence[str]) -> list[list[str]]:
        """Every combination of the values of some overrides; a later value of a key wins."""
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(list(words))
        return [job for part in self.split_arguments(overrides, None) for job in part]

    def preview(self, planned: Sequence[Job]) -> None:
        """Prints what the sweep would do, for `dry_run=true` and `preflight=only`."""
        assert self.config is not None
        if self.config.dry_run:
            pairs = [pair for job in planned for pair in zip(job.runs, job.done, strict=True)]
            for line in plan_lines(list(dict.fromkeys(pairs)), Store(self.config.results_dir).root):
                console.print(line)
        if self.config.preflight == "only":
            for job in planned:
                console.print(f"{'done' if job.finished else 'to do':<6} {job.folder}")

    @staticmethod
    def skip_failed(jobs: Sequence[Job]) -> tuple[list[Job], list[Failure]]:
        """The jobs that did not fail before, and those that did."""
        left: list[Job] = []
        skipped: list[Failure] = []
        for job in jobs:
            status = read_status(job.folder)
            if status.get("status") == "failed":
                reason = f"failed before ({status['error']}); on_failed=retry tries again"
                skipped.append((job.overrides, reason))
            else:
                left.append(job)
        return left, skipped

    def summarise_records(self, planned: Sequence[Job], planner: JobPlanner) -> None:
        """Prints the summary of every cell that is finished now, in this sweep or before it."""
        unknown = [job.overrides for job in planned if not job.runs]
        known = [job for job in planned if job.runs]
        if unknown:  # their files may be here by now
            known += [job for job in planner.plan_jobs(unknown)[0] if job.runs]
        paths = dict.fromkeys(path for job in known for path in job.records if path.exists())
        if paths:
            type(self).summarise(list(paths))

    def launch(self, left: Sequence[Job]) -> tuple[list[JobReturn], list[Failure]]:
        """Runs jobs. A job that another process works on, or whose stage another makes, is left.

        It comes again when all others have run, for as long as that finishes any; at the end the
        jobs that are left wait.
        """
        assert self.config is not None and self.launcher is not None
        if not left:
            return [], []
        make_folder(Path(self.config.hydra.sweep.dir))
        for job in left:
            if job.runs and not (job.folder / "status.json").exists():
                command = shlex.join(["python", "-m", "fsig_bench", *job.overrides])
                write_status(job.folder, "pending", command)
        results: list[JobReturn] = []
        failed: list[Failure] = []
        busy: list[Job] = list(left)
        may_wait = False
        with shared_threads(self.config.hydra.launcher, len(left)):
            while busy:
                now, busy = busy, []
                more = [] if may_wait else ["on_busy=defer"]
                for job, result in zip(now, self.launch_with_retry(now, more), strict=True):
                    if isinstance(result, JobReturn) and result.status == JobStatus.COMPLETED:
                        results.append(result)
                        continue
                    why = getattr(result, "_return_value", result)
                    if isinstance(why, Busy) and not may_wait:
                        busy.append(job)
                    else:
                        reason = read_status(job.folder).get("error") or str(why)
                        failed.append((job.overrides, reason))
                may_wait = len(busy) == len(now)
        return results, failed

    def launch_with_retry(
        self, jobs: Sequence[Job], more: Sequence[str], retry: bool = True
    ) -> list[JobReturn | Exception]:
        """A result or an error for each job, whatever the launcher does when a process dies.

        Args:
            jobs: to be launched.
            more: overrides that are added to those of each job.
            retry: whether unfinished jobs are launched once more if the launcher gives up.
        """
        assert self.launcher is not None
        if not jobs:
            return []
        try:
            overrides = [[*job.overrides, *more, name_override(job.title)] for job in jobs]
            return list(self.launcher.launch(overrides, initial_job_idx=0))
        except Exception as error:  # every launcher raises its own kinds
            left = [n for n, job in enumerate(jobs) if not job.is_finished_now()]
            broken: list[JobReturn | Exception] = [error] * len(left)
            # With joblib a process that dies ends the others too, and the cells that they ran.
            if retry and any(read_status(jobs[n].folder).get("status") == "running" for n in left):
                console.print(f"a process died; {len(left)} unfinished cells start once more")
                broken = self.launch_with_retry([jobs[n] for n in left], more, retry=False)
            outcomes = dict(zip(left, broken, strict=True))
            done = JobReturn(status=JobStatus.COMPLETED)
            return [outcomes.get(n, done) for n in range(len(jobs))]


def register(summarise: Callable[[Sequence[Path]], None]) -> None:
    """Makes the sweeper and our launchers known to Hydra, which takes `hydra_plugins.*` only.

    Args:
        summarise: prints the end of a sweep, from the paths of the records of its finished cells.
    """
    CellSweeper.summarise = staticmethod(summarise)
    plugins = Plugins.instance()  # has searched the real package by now
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
    OmegaConf.register_new_resolver("fsig.at_once", jobs_that_fit, replace=True)
