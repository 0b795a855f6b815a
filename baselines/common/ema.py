"""Exponential moving average of a network's weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Average:
    """The average of a network's floating-point state."""

    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module) -> Average:
        """Starts at the weights as they are."""
        state = model.state_dict().items()
        return cls({k: v.detach().clone() for k, v in state if v.is_floating_point()})

    @torch.no_grad()
    def follow(self, model: nn.Module, *, keep: float) -> None:
        """Average <- keep average + (1 - keep) weights."""
        state = model.state_dict()
        torch._foreach_lerp_(
            list(self.tensors.values()), [state[k] for k in self.tensors], 1 - keep
        )
