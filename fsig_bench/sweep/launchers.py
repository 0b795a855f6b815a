"""Launchers for -m that give every job an outcome of its own, whatever becomes of the others.

The plugins for submitit and Ray raise at the first process that dies and forget those that still
run; the one for submitit also starts every local job at once and hides the GPUs from them. These
take the same path through Hydra. Presets are in conf/hydra/launcher, said in docs/launchers.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from fsig_bench.sweep.jobs import Work, cores, failed


class OwnLauncher(Launcher):
    """What ours have in common: options as given in conf/hydra/launcher."""

    def __init__(self, **options: Any) -> None:
        self.options: dict[str, Any] = {
            k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v
            for k, v in options.items()
        }
        self.parts: tuple[HydraContext, DictConfig, TaskFunction] | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.parts = hydra_context, config, task_function

    def work(self, **more: Any) -> Work:
        assert self.parts is not None
        return Work(*self.parts, Singleton.get_state(), os.getcwd(), **more)


class SubmititLauncher(OwnLauncher):
    """SLURM, or processes of this machine, through submitit.

    Options: `cluster` (slurm or local), `folder`, `max_num_timeout`, `at_once` (local); others are
    submitit's own parameters, null for its default.
    """

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """The outcome of each job, in order."""
        import submitit

        own = ("cluster", "folder", "max_num_timeout", "at_once")
        cluster, folder, timeouts = (self.options[name] for name in own[:3])
        executor = submitit.AutoExecutor(
            folder=folder, cluster=cluster, **{f"{cluster}_max_num_timeout": timeouts}
        )
        given = {k: v for k, v in self.options.items() if k not in own and v is not None}
        executor.update_parameters(**given)
        words = [list(w) for w in job_overrides]
        numbers = range(initial_job_idx, initial_job_idx + len(words))
        if cluster != "local":
            jobs = executor.map_array(self.work(), words, list(numbers))
            return [self.outcome(job) for job in jobs]
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # submitit would replace it
        work = self.work(gpus=gpus, restore_gpus=True)
        return self.in_turn(
            executor, work, list(zip(words, numbers, strict=True)), self.options.get("at_once") or 1
        )

    def in_turn(
        self, executor: Any, work: Work, todo: list[tuple[list[str], int]], count: int
    ) -> list[JobReturn]:
        """At most `count` processes at a time."""
        running: dict[int, Any] = {}
        outcomes: dict[int, JobReturn] = {}
        waiting = list(todo)
        while waiting or running:
            while waiting and len(running) < count:
                words, number = waiting.pop(0)
                running[number] = executor.submit(work, words, number)
            time.sleep(0.1)
            for number in [n for n, job in running.items() if job.done()]:
                job = running.pop(number)
                there = job.paths.result_pickle.exists()  # submitit waits long for one of the dead
                outcomes[number] = self.outcome(job) if there else self.ended(job)
        return [outcomes[number] for _, number in todo]

    def outcome(self, job: Any) -> JobReturn:
        """Waits for a job."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            return job.results()[0]
        except FailedJobError as error:
            lines = [s for s in str(error).splitlines() if s.strip("- ")]
            trace = [s for s in lines if not s.startswith((" ", "You can", "or at"))]
            return failed(f"{trace[-1]}; log: {job.paths.stderr}")
        except UncompletedJobError:
            return self.ended(job)

    @staticmethod
    def ended(job: Any) -> JobReturn:
        return failed(
            f"its process ended without a result (killed? state {job.state}); the same command "
            f"continues; log: {job.paths.stderr}"
        )


class RayLauncher(OwnLauncher):
    """Ray, on this machine or a cluster.

    Options: `init`, the arguments of ray.init; `remote`, those of ray.remote (num_gpus null: one
    where the cluster has any); `at_once`, on this machine.
    """

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """The outcome of each job, in order."""
        import ray

        remote = dict(self.options.get("remote") or {})
        if not ray.is_initialized():
            ray.init(**(self.options.get("init") or {}))
        try:
            if remote.get("num_gpus") is None:
                remote["num_gpus"] = int(ray.cluster_resources().get("GPU", 0) > 0)
            if count := self.options.get("at_once"):
                remote.setdefault("num_cpus", max(1, cores() // count))
            task = ray.remote(**remote)(Work.__call__)
            work = ray.put(self.work())
            jobs = [
                task.remote(work, list(words), initial_job_idx + n)
                for n, words in enumerate(job_overrides)
            ]
            return [self.outcome(job) for job in jobs]
        finally:
            ray.shutdown()

    @staticmethod
    def outcome(job: Any) -> JobReturn:
        """Waits for a job."""
        import ray

        try:
            return ray.get(job)
        except ray.exceptions.RayError as error:
            first = next((s for s in str(error).splitlines() if s.strip()), type(error).__name__)
            return failed(
                f"its process ended without a result ({first}); the same command continues"
            )
