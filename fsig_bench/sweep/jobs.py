"""Jobs of a sweep side by side: how many, with how many threads, and one of them elsewhere."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

GIB_A_JOB = 4  # on CPU: a mini cell stays below

NEEDS = {  # part of a launcher's name: its package, the extra that brings it
    "hydra_joblib_launcher": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "fsig_bench.SubmititLauncher": ("submitit", "submitit"),
    "fsig_bench.RayLauncher": ("ray", "ray"),
}


def check_installed(target: str) -> None:
    """Raises ValueError where a launcher's package is not there."""
    for name, (package, extra) in NEEDS.items():
        if name in target:
            try:
                found = importlib.util.find_spec(package)
            except ImportError:
                found = None
            if found is None:
                raise ValueError(f"this launcher needs {extra}: pip install 'fsig-bench[{extra}]'")


def cores() -> int:
    """Those that this process may use."""
    known = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def at_once(device: str) -> int:
    """How many jobs this machine takes: one a GPU, or one a core as far as the memory goes."""
    import torch

    if device != "cpu" and (gpus := torch.cuda.device_count()):
        return gpus
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return max(1, min(cores(), int(memory / GIB_A_JOB)))


def side_by_side(launcher: Any, jobs: int) -> int:
    """How many of the jobs a launcher runs at once on this machine."""
    target = str(launcher.get("_target_"))
    everything = jobs if target.endswith("submitit_launcher.LocalLauncher") else 1
    count = launcher.get("n_jobs") or launcher.get("at_once") or everything
    return max(1, min(cores() if count < 0 else count, jobs))


@contextmanager
def shared_threads(launcher: Any, jobs: int) -> Iterator[None]:
    """Jobs side by side share the cores: processes that start now get their part of the threads."""
    count = side_by_side(launcher, jobs)
    given = os.environ.get("OMP_NUM_THREADS")
    if count > 1 and given is None:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // count))
    try:
        yield
    finally:
        if given is None:
            os.environ.pop("OMP_NUM_THREADS", None)


@dataclass(frozen=True)
class Work:
    """What another process needs to run jobs of a sweep."""

    context: HydraContext
    config: DictConfig
    task: TaskFunction
    singletons: Any
    cwd: str
    gpus: str | None = None  # CUDA_VISIBLE_DEVICES, where the launcher has to put it back
    restore_gpus: bool = False

    def __call__(self, words: list[str], number: int) -> JobReturn:
        """Runs one job, in this process."""
        os.chdir(self.cwd)
        if self.restore_gpus:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            if self.gpus is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus
        setup_globals()
        Singleton.set_state(self.singletons)
        config = self.context.config_loader.load_sweep_config(self.config, words)
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

    def checkpoint(self, *job: Any) -> Any:
        """What submitit queues again after a time-out: the same job, which goes on by itself."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *job)


def failed(reason: str) -> JobReturn:
    """The outcome of a job whose process left none."""
    outcome = JobReturn(status=JobStatus.FAILED)
    outcome.return_value = RuntimeError(reason)
    return outcome
