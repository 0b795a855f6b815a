"""What RS-IMLE's loop remembers between epochs, and when a shot gets a new code."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """Adaptive IMLE's rule for which shots get a new code, and when."""

    tau: float  # first threshold of every shot
    change: float  # tau <- (1 - change) loss at a new assignment
    staleness: int  # epochs that an assignment stays at least


@dataclass
class Assignments:
    """What the loop remembers between epochs, as tensors, so that it can be kept on disk.

    All of it lies on the method's device.
    """

    z: Tensor  # codes of the shots [n, d]
    age: Tensor  # epochs since the code was found [n]
    tau: Tensor  # thresholds [n]
    loss: Tensor  # last loss of each shot [n]
    used: Tensor  # number of the pool that each code came from [n]
    rows: Tensor  # projected pool [m, p]
    counts: Tensor  # pools drawn, members drawn, tested, rejected, shots without a survivor [5]

    @classmethod
    def fresh(cls, n: int, d: int, width: int, tau: float, device: str) -> Assignments:
        """Before the first epoch."""
        pairs = cls(
            z=torch.zeros(n, d),
            age=torch.zeros(n, dtype=torch.long),
            tau=torch.full((n,), tau),
            loss=torch.full((n,), torch.inf),
            used=torch.zeros(n, dtype=torch.long),
            rows=torch.zeros(0, width),
            counts=torch.zeros(5, dtype=torch.long),
        )
        pairs.put_back(pairs.tensors(), device)
        return pairs

    def shares(self) -> dict[str, float]:
        """Share of pool members rejected; how often a shot was left without a survivor."""
        _, _, tested, rejected, without = self.counts.tolist()
        return {"rejected": rejected / max(tested, 1), "without": float(without)}

    def tensors(self) -> dict[str, Tensor]:
        return {f"book/{k}": v for k, v in vars(self).items()}

    def put_back(self, kept: dict[str, Tensor], device: str) -> None:
        for name in vars(self):
            setattr(self, name, kept[f"book/{name}"].to(device))
