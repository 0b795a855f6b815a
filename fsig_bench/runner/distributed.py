"""Several processes for one run, as started by torchrun: who is who, and when all have come.

    torchrun --nproc-per-node 4 -m fsig_bench suite=paper method=crdi dataset=babies

Every member samples its share of the shards into the common store; the first adapts, scores and
writes the record. A method whose `adapts_in_team` is true adapts in all of them (gradients are
averaged by `baselines.common.data_parallel`).
"""

from __future__ import annotations

from datetime import timedelta

from fsig_bench.api.process import size


def join(device: str) -> None:
    """Joins the process group; does nothing alone.

    Args:
        device: where networks run; NCCL carries gradients between GPUs, Gloo between CPUs.
    """
    if size() == 1:
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device)
    # The others wait while the first adapts or scores: longer than any default.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=timedelta(7))


def barrier() -> None:
    """Waits for all members."""
    if size() > 1:
        import torch
        from torch import distributed

        distributed.all_reduce(torch.zeros(1))  # over Gloo: a GPU has nothing to do with it


def leave() -> None:
    """Leaves the process group."""
    if size() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()
