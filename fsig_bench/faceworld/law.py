"""The exact distribution of a domain's factors, as draws that no image is painted for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from fsig_bench.faceworld.domains import draw
from fsig_bench.faceworld.factors import SCALE

FIRST = 2_000_000  # held-out images from here on are painted by nobody


@dataclass(frozen=True, kw_only=True)
class DrawnLaw:
    """A fixed number of independent draws from a domain's law."""

    draws: int

    def factors(self, domain: str) -> Tensor:
        """Float32 [draws, f]; the same draws each time, of images that nobody paints.

        Raises:
            ValueError: an unknown domain; the message names the known ones.
        """
        return _drawn(domain, self.draws).clone()

    def ranges(self) -> Tensor:
        """The width of each factor's scale over all domains, float32 [f]."""
        return torch.tensor([high - low for low, high in SCALE.values()])


@lru_cache(maxsize=16)
def _drawn(domain: str, draws: int) -> Tensor:
    return torch.from_numpy(draw(domain, "held_out", range(FIRST, FIRST + draws))[0])
