"""Where a run computes: device, precision, memory."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from fsig_bench.api.process import size

GPU = "FSIG_BENCH_GPU"  # index among the GPUs that torch sees


HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> str:
    """`auto` becomes cuda where there is one: this process's own, if several share the work.

    Raises:
        ValueError: cuda is asked for and not there.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={name}, but torch sees no CUDA device; use device=cpu")
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        local = os.environ.get("LOCAL_RANK", os.environ.get(GPU))
        return "cuda" if local is None else f"cuda:{int(local) % torch.cuda.device_count()}"
    return "cpu" if name == "auto" else name


@contextmanager
def precision_policy(name: str, device: str) -> Iterator[None]:
    """Runs a stage in one of the policies of `runner.checks.PRECISIONS`.

    fp32: IEEE single precision, convolutions too; torch_default: torch's own default on a GPU, TF32
    in convolutions and IEEE in matrix products; tf32: TF32 in both. A device without TF32 computes
    all three alike. bf16, fp16: autocast, weights stay in fp32. They are cast anew at each use:
    autocast's cache lasts as long as its context, here a whole stage, and training would go on with
    the weights of its first step.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = name == "tf32"
    cudnn.allow_tf32 = name in ("tf32", "torch_default")
    kind = torch.device(device).type
    try:
        half = HALVES.get(name)
        with torch.autocast(kind, half, cache_enabled=False) if half else nullcontext():
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def peak_mem_gib(device: str) -> float:
    """Peak resident memory of this process; on a GPU, its peak allocation instead."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def member_device(name: str) -> str:
    """The device of this member; "cpu" alone, where nobody asks."""
    if size() == 1:
        return "cpu"
    return resolve_device(name)
