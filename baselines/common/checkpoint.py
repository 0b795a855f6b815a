"""Networks, averages and optimisers as one flat dictionary of tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from baselines.common.ema import Average

Part = nn.Module | Average | torch.optim.Optimizer


def pack(parts: Mapping[str, Part]) -> dict[str, Tensor]:
    """Every tensor of the named parts, under "name/key"."""
    out: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            state = part.state_dict()["state"].items()
            tensors = {f"{n}/{k}": torch.as_tensor(v) for n, s in state for k, v in s.items()}
        else:
            tensors = part.tensors if isinstance(part, Average) else part.state_dict()
        out |= {f"{name}/{k}": v for k, v in tensors.items()}
    return out


def unpack(tensors: Mapping[str, Tensor], parts: Mapping[str, Part]) -> None:
    """Puts packed tensors back, in place."""
    for name, part in parts.items():
        head = f"{name}/"
        own = {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}
        if isinstance(part, Average):
            for k, v in own.items():
                part.tensors[k].copy_(v)
        elif isinstance(part, nn.Module):
            part.load_state_dict(own)
        else:
            state: dict[int, dict[str, Tensor]] = {}
            for k, v in own.items():
                number, key = k.split("/", 1)
                state.setdefault(int(number), {})[key] = v
            groups = part.state_dict()["param_groups"]
            part.load_state_dict({"state": state, "param_groups": groups})
