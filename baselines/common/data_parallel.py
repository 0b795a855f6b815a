"""Data-parallel steps over the processes of a torchrun, by plain collectives.

Each member computes the gradient of its share of the groups, weighted so that the sum over members
is the gradient of the whole step: the same numbers as one process, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, distributed


def rank_and_size() -> tuple[int, int]:
    """(rank, size); (0, 1) without a process group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def shard_groups(
    batch: Sequence[Tensor], groups: int, at_once: int | None
) -> list[tuple[Tensor, ...]]:
    """The groups of a step that are this member's, cut into what is computed at once.

    Args:
        batch: tensors [groups * size, ...] whose rows belong together.
        groups: how many groups there are.
        at_once: groups in a part; None: all.
    """
    rank, count = rank_and_size()
    own = torch.arange(groups)[rank::count]
    rows = [a.view(groups, -1, *a.shape[1:])[own] for a in batch]
    cut = [a.split(at_once or max(len(own), 1)) for a in rows]
    return [tuple(a.flatten(0, 1) for a in part) for part in zip(*cut, strict=True) if len(own)]


def add_gradients(parameters: Iterable[Tensor]) -> None:
    """Sums .grad over the members, in place, as one message."""
    if rank_and_size()[1] == 1:
        return
    grads = []
    for p in parameters:
        if p.grad is None:  # a member without groups
            p.grad = torch.zeros_like(p)
        grads.append(p.grad)
    flat = torch.cat([g.flatten() for g in grads])
    distributed.all_reduce(flat)
    start = 0
    for g in grads:
        g.copy_(flat[start : start + g.numel()].view_as(g))
        start += g.numel()
