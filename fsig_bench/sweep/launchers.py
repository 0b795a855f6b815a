"""Launchers for -m that return an outcome for every job, even when other jobs die.

Hydra's plugins for submitit and Ray raise an error when the first process dies, and lose the jobs
that still run. The plugin for submitit also starts all local jobs together and hides the GPUs from
them. These launchers run a job through Hydra as the plugins do. Their presets are in
conf/hydra/launcher; docs/launchers.md describes them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from fsig_bench.api.files import make_folder
from fsig_bench.console import console
from fsig_bench.sweep.jobs import SweepJob, cores, failed_return
from fsig_bench.sweep.titles import title_of

if TYPE_CHECKING:
    from ray import ObjectRef
    from submitit import AutoExecutor, Job


class OwnLauncher(Launcher):
    """The common part: it keeps the options that conf/hydra/launcher gives."""

    def __init__(self, **options: object) -> None:
        self.options: dict[str, Any] = {
            k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v
            for k, v in options.items()
        }
        self.parts: tuple[HydraContext, DictConfig, TaskFunction] | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.parts = hydra_context, config, task_function

    def sweep_job(self, *, gpus: str | None = None, restore_gpus: bool = False) -> SweepJob:
        """What another process needs to run any of the jobs."""
        assert self.parts is not None
        return SweepJob(
            *self.parts, Singleton.get_state(), os.getcwd(), gpus=gpus, restore_gpus=restore_gpus
        )


class SubmititLauncher(OwnLauncher):
    """Runs jobs on SLURM, or in processes of this machine, through submitit.

    Options: `cluster` (slurm or local), `folder`, `max_num_timeout`, `at_once` (how many local jobs
    run in parallel). All others are parameters of submitit; null leaves its default.
    """

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Runs the jobs; returns the outcome of each, in their order."""
        import submitit

        own = ("cluster", "folder", "max_num_timeout", "at_once")
        cluster, folder, timeouts = (self.options[name] for name in own[:3])
        make_folder(Path(folder).parent)  # its own for each sweep, in one that users may share
        executor = submitit.AutoExecutor(
            folder=folder, cluster=cluster, **{f"{cluster}_max_num_timeout": timeouts}
        )
        given = {k: v for k, v in self.options.items() if k not in own and v is not None}
        executor.update_parameters(**given)
        overrides = [list(o) for o in job_overrides]
        numbers = range(initial_job_idx, initial_job_idx + len(overrides))
        if cluster != "local":
            jobs = executor.map_array(self.sweep_job(), overrides, list(numbers))
            return [self.outcome(job) for job in jobs]
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # submitit would replace it
        sweep_job = self.sweep_job(gpus=gpus, restore_gpus=True)
        todo = list(zip(overrides, numbers, strict=True))
        return self.run_local(executor, sweep_job, todo, count=self.options.get("at_once") or 1)

    def run_local(
        self,
        executor: AutoExecutor,
        sweep_job: SweepJob,
        todo: list[tuple[list[str], int]],
        *,
        count: int,
    ) -> list[JobReturn]:
        """Runs each job in a process of its own, at most `count` of them in parallel."""
        running: dict[int, Job[JobReturn]] = {}
        outcomes: dict[int, JobReturn] = {}
        waiting = list(todo)
        while waiting or running:
            while waiting and len(running) < count:
                overrides, number = waiting.pop(0)
                console.print(title_of(overrides), style="bold")
                running[number] = executor.submit(sweep_job, overrides, number)
            time.sleep(0.1)
            for number in [n for n, job in running.items() if job.done()]:
                job = running.pop(number)
                # Without a result the process died; submitit would wait long for its file.
                wrote = job.paths.result_pickle.exists()
                outcomes[number] = self.outcome(job) if wrote else self.died(job)
        return [outcomes[number] for _, number in todo]

    def outcome(self, job: Job[JobReturn]) -> JobReturn:
        """Waits for a job, prints the line that it returns, and returns its outcome."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            result: JobReturn = job.results()[0]
            # What the job itself prints goes to its log.
            if result.status == JobStatus.COMPLETED and result.return_value:
                console.print(result.return_value)
            return result
        except FailedJobError as error:
            lines = [s for s in str(error).splitlines() if s.strip("- ")]
            trace = [s for s in lines if not s.startswith((" ", "You can", "or at"))]
            return failed_return(f"{trace[-1]}; its log is {job.paths.stderr}")
        except UncompletedJobError:
            return self.died(job)

    @staticmethod
    def died(job: Job[JobReturn]) -> JobReturn:
        return failed_return(
            f"its process ended without a result (state {job.state}; perhaps it was killed); "
            f"the same command continues it; its log is {job.paths.stderr}"
        )


class RayLauncher(OwnLauncher):
    """Runs jobs with Ray, on this machine or on a cluster.

    Options: `init`, the arguments of ray.init; `remote`, those of ray.remote (num_gpus null: one
    GPU, if the cluster has any); `at_once`, how many jobs run in parallel on this machine.
    """

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Runs the jobs; returns the outcome of each, in their order."""
        import ray

        remote = dict(self.options.get("remote") or {})
        if not ray.is_initialized():
            ray.init(**(self.options.get("init") or {}))
        try:
            if remote.get("num_gpus") is None:
                remote["num_gpus"] = int(ray.cluster_resources().get("GPU", 0) > 0)
            if count := self.options.get("at_once"):
                remote.setdefault("num_cpus", max(1, cores() // count))
            task = ray.remote(**remote)(SweepJob.__call__)
            sweep_job = ray.put(self.sweep_job())
            jobs = [
                task.remote(sweep_job, list(overrides), initial_job_idx + n)
                for n, overrides in enumerate(job_overrides)
            ]
            return [self.outcome(job) for job in jobs]
        finally:
            ray.shutdown()

    @staticmethod
    def outcome(job: ObjectRef[JobReturn]) -> JobReturn:
        """Waits for a job and returns its outcome."""
        import ray

        try:
            return ray.get(job)
        except ray.exceptions.RayError as error:
            first = next((s for s in str(error).splitlines() if s.strip()), type(error).__name__)
            return failed_return(
                f"its process ended without a result ({first}); the same command continues it"
            )
