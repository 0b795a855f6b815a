"""What methods that tune a network share: their copy of it, picks of shots, losses read at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from fsig_bench.api import compiled

Net = TypeVar("Net", bound=nn.Module)


def read(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Named scalars as numbers, fetched together: each fetch waits for all that a GPU has to do."""
    if not scalars:
        return {}
    return dict(zip(scalars, torch.stack(list(scalars.values())).tolist(), strict=True))


def distinct(count: int, k: int, g: torch.Generator) -> Tensor:
    """`count` of 0 to k - 1 in random order; none comes again before all have come, [count]."""
    rounds = -(-count // k)
    return torch.cat([torch.randperm(k, generator=g) for _ in range(rounds)])[:count]


def trainable_copy(net: Net) -> Net:
    """A copy of a frozen network, for tuning; compiled where the run compiles networks.

    Raises:
        ValueError: the network is offloaded: its weights are elsewhere between the layers' turns.
    """
    if any(p.is_meta for p in net.parameters()):
        raise ValueError(
            "offload=true is for frozen networks, and this method tunes the weights; "
            "try method.groups_at_once=1, method.checkpointing=true, precision.adapt=bf16"
        )
    return compiled(copy.deepcopy(net))
