"""One GPU each for the jobs that a sweep runs side by side on a node.

A job claims the first GPU whose lock is free (`fsig_bench.store.lock`) and holds it until it is
done; the kernel frees it when the job dies. An environment variable hands the GPU's number to
`runner.device.resolve_device`, here and in processes that the job starts. CUDA_VISIBLE_DEVICES
stays as it is: a process that runs one job after another reads it only once.
"""

from __future__ import annotations

import getpass
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fsig_bench.runner.device import GPU
from fsig_bench.store.lock import Busy, locked


def runs_beside_other_jobs() -> bool:
    """Whether this process runs a job of a sweep that may run several at a time."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return False
    return not HydraConfig.get().launcher._target_.endswith("BasicLauncher")


def lock_paths(count: int) -> list[Path]:
    """A lock file for each of the GPUs that torch sees, the same for all processes of the node.

    Within a SLURM allocation the numbers are its own, so its id is part of the name.
    """
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [s.strip() for s in shown.split(",")][:count] if shown else list(map(str, range(count)))
    folder = Path(tempfile.gettempdir()) / f"fsig_bench-gpus-{getpass.getuser()}"
    return [folder / f"{os.environ.get('SLURM_JOB_ID', 'node')}-{name}.lock" for name in names]


def claim_first_free(paths: Sequence[Path], held: ExitStack, *, poll_s: float = 1.0) -> int:
    """The index of a lock that nobody else holds, from now on held; waits until there is one."""
    from fsig_bench.console import console

    waited = False
    while True:
        for index, path in enumerate(paths):
            try:
                held.enter_context(locked(path, what=f"GPU {index}", wait=False))
            except Busy:
                continue
            return index
        if not waited:
            console.print(f"all {len(paths)} GPUs are claimed by other jobs: waiting for one")
        waited = True
        time.sleep(poll_s)


@contextmanager
def claim_gpu(device: str) -> Iterator[None]:
    """Holds one GPU for a job of a sweep; nothing to do elsewhere or where there is no choice.

    Args:
        device: `auto` or `cuda` leave the choice open; others say which.
    """
    import torch

    from fsig_bench.api import process

    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0  # starts no CUDA
    if count < 2 or process.size() > 1 or not runs_beside_other_jobs():
        yield
        return
    with ExitStack() as held:
        index = claim_first_free(lock_paths(count), held)
        os.environ[GPU] = str(index)
        try:
            torch.cuda.set_device(index)
            yield
        finally:
            del os.environ[GPU]
