"""Several processes for one run, as started by torchrun: how they join, wait and agree.

    torchrun --nproc-per-node 4 -m fsig_bench suite=paper method=crdi dataset=babies

Every member samples its share of the shards into the common store; the first adapts, scores and
writes the record. A method whose `adapts_in_team` is true adapts in all of them (gradients are
averaged by `baselines.common.data_parallel`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from fsig_bench.api.process import rank, size

if TYPE_CHECKING:
    from pathlib import Path

    from fsig_bench.api.plain import Record
    from fsig_bench.runner.cell import Cell
    from fsig_bench.store.store import Store


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


def first_decides(*found: bool) -> tuple[bool, ...]:
    """What the first member found, in all members; waits for all of them.

    What members find in a common store may differ: another program may finish a stage between two
    looks, and a network file system shows a file late. One look decides for all.

    Args:
        found: as many values in each member.
    """
    if size() == 1:
        return found
    import torch
    from torch import distributed

    own = [float(value) for value in found] if rank() == 0 else [0.0] * len(found)
    shared = torch.tensor(own)
    distributed.all_reduce(shared)  # a broadcast would not wait for the others
    return tuple(bool(value) for value in shared)


def recorded(cell: Cell, store: Store) -> Record:
    """The record that the first member of a team has seen or written.

    Raises:
        RuntimeError: there is none to be seen from here.
    """
    record = store.record(cell.folder)
    if record is None:
        raise unseen(f"record of {cell.label}", store.root / cell.folder)
    return record


def unseen(what: str, folder: Path) -> RuntimeError:
    """The error of a member that does not find what another member has found or written."""
    return RuntimeError(
        f"{folder} holds no {what} on this node; see the messages of the first process, and give "
        "all nodes one results_dir on a common file system"
    )


def leave() -> None:
    """Leaves the process group."""
    if size() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()
