"""Several networks of one architecture at once, for trainings that do not depend on each other.

A GPU that computes a small network waits for the next launch most of the time; e of them, stacked,
take as many launches as one. Results are those of the networks one by one, up to rounding.

Shape legend: e networks, n inputs of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


class Together(nn.Module):
    """Inputs [e, n, ...] -> outputs [e, n, ...], row i through network i; starts with e copies."""

    def __init__(self, net: nn.Module, count: int) -> None:
        super().__init__()
        if list(net.buffers()):
            raise ValueError(f"{type(net).__name__} has buffers, which `Together` does not stack")
        own = dict(net.named_parameters())
        self.names = list(own)
        copies = (p.detach().expand(count, *p.shape).clone() for p in own.values())
        self.weights = nn.ParameterList(copies)
        # In a tuple, so that its own weights are none of this module's; they are never used.
        self.template = (net,)

    def put(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Gives each network weights, as of its `state_dict`."""
        with torch.no_grad():
            for name, place in zip(self.names, self.weights, strict=True):
                place.copy_(torch.stack([state[name] for state in states]))

    def forward(self, x: Tensor) -> Tensor:
        def one(weights: dict[str, Tensor], own: Tensor) -> Tensor:
            out: Tensor = functional_call(self.template[0], weights, (own,))
            return out

        weights = dict(zip(self.names, self.weights, strict=True))
        out: Tensor = vmap(one)(weights, x)
        return out
