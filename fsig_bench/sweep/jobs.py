"""Jobs of a sweep in parallel: how many, with how many threads, and one in another process."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

GIB_PER_JOB = 4  # on a CPU; a cell of the mini suite needs less

NEEDS = {  # part of a launcher's class name -> its package, the extra that installs it
    "hydra_joblib_launcher": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "fsig_bench.SubmititLauncher": ("submitit", "submitit"),
    "fsig_bench.RayLauncher": ("ray", "ray"),
}


def check_installed(target: str) -> None:
    """Raises ValueError where the package of a launcher is not installed."""
    for name, (package, extra) in NEEDS.items():
        if name in target:
            try:
                found = importlib.util.find_spec(package)
            except ImportError:
                found = None
            if found is None:
                raise ValueError(
                    f"this launcher needs the package {package.rpartition('.')[2]}; "
                    f"install it with: pip install 'fsig-bench[{extra}]'"
                )


def cores() -> int:
    """How many cores this process may use."""
    known = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def jobs_that_fit(device: str) -> int:
    """How many jobs this machine can run in parallel.

    One for each GPU; without a GPU one for each core, if the memory has GIB_PER_JOB for each.
    """
    import torch

    from fsig_bench.runner.checks import memory_gib

    if device != "cpu" and (gpus := torch.cuda.device_count()):
        return gpus
    there = memory_gib()
    return cores() if there is None else max(1, min(cores(), int(there / GIB_PER_JOB)))


def parallel_jobs(launcher: DictConfig, jobs: int) -> int:
    """How many of the jobs a launcher runs in parallel on this machine."""
    target = str(launcher.get("_target_"))
    everything = jobs if target.endswith("submitit_launcher.LocalLauncher") else 1
    count = launcher.get("n_jobs") or launcher.get("at_once") or everything
    return max(1, min(cores() if count < 0 else count, jobs))


@contextmanager
def shared_threads(launcher: DictConfig, jobs: int) -> Iterator[None]:
    """Parallel jobs share the cores: a process that starts inside gets its share of the threads."""
    count = parallel_jobs(launcher, jobs)
    given = os.environ.get("OMP_NUM_THREADS")
    if count > 1 and given is None:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // count))
    try:
        yield
    finally:
        if given is None:
            os.environ.pop("OMP_NUM_THREADS", None)


@dataclass(frozen=True)
class SweepJob:
    """What another process needs to run any job of a sweep."""

    context: HydraContext
    config: DictConfig
    task: TaskFunction
    singletons: dict[type, object]
    cwd: str
    gpus: str | None = None  # CUDA_VISIBLE_DEVICES, if the launcher has to restore it
    restore_gpus: bool = False

    def __call__(self, overrides: list[str], number: int) -> JobReturn:
        """Runs one job in this process."""
        os.chdir(self.cwd)
        if self.restore_gpus:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            if self.gpus is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus
        setup_globals()
        Singleton.set_state(self.singletons)
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = f"{config.hydra.job.name}_{number}"
            config.hydra.job.num = number
        HydraConfig.instance().set_config(config)
        return run_job(
            hydra_context=self.context,
            config=config,
            task_function=self.task,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    def checkpoint(self, *job: object) -> DelayedSubmission:
        """What submitit queues again after a time-out: the same job, which continues by itself."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *job)


def failed_return(reason: str) -> JobReturn:
    """The outcome of a job whose process ended without one."""
    outcome = JobReturn(status=JobStatus.FAILED)
    outcome.return_value = RuntimeError(reason)
    return outcome
