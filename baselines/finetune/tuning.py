"""What of a network is tuned: low-rank changes of weights, or biases and norms.

Shape legend: o outputs, i inputs (of a convolution: channels times places), r rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from baselines.common.choices import check_choices
from fsig_bench.api import generator

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")  # diffusers' names


class Tune(Protocol):
    """Chooses what of a network is fitted."""

    lr_factor: float

    def prepare(self, net: nn.Module, seed: int) -> None:
        """Leaves requires_grad to what is to be fitted, and adds it where it is new; in place."""


class LowRank(nn.Module):
    """A weight [o, ...] with scale times B [o, r] A [r, i] added; B starts at 0."""

    def __init__(self, weight: Tensor, rank: int, scale: float, g: torch.Generator) -> None:
        super().__init__()
        o, i = len(weight), weight[0].numel()
        first = torch.randn(rank, i, generator=g) / i**0.5
        self.a = nn.Parameter(first.to(weight.device))
        self.b = nn.Parameter(torch.zeros(o, rank, device=weight.device))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.b @ self.a).view_as(weight)


@dataclass(frozen=True, kw_only=True)
class LoRA:
    """Changes of low rank; the weights themselves stay."""

    rank: int
    alpha: float  # changes are multiplied by alpha / rank
    where: Literal["attention", "all"]  # all: every linear layer and convolution
    lr_factor: float  # times the method's lr

    def __post_init__(self) -> None:
        check_choices(self)
        if self.rank < 1 or self.lr_factor <= 0:
            raise ValueError(
                f"rank={self.rank}, lr_factor={self.lr_factor}: give a rank of at least 1 and a "
                "factor above 0"
            )

    def prepare(self, net: nn.Module, seed: int) -> None:
        """Adds a low-rank change to each chosen layer's weight.

        Raises:
            ValueError: the network has no such layer.
        """
        net.requires_grad_(False)
        chosen = [
            (name, layer)
            for name, layer in net.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)
            and (self.where == "all" or name.endswith(ATTENTION))
        ]
        if not chosen:
            raise ValueError(
                f"where={self.where}: the source model has no such layer; set method.tune.where=all"
            )
        for name, layer in chosen:
            g = generator(seed, "finetune", "lora", name)
            low = LowRank(layer.weight, self.rank, self.alpha / self.rank, g)
            parametrize.register_parametrization(layer, "weight", low)


@dataclass(frozen=True, kw_only=True)
class BiasNorm:
    """Biases, and the scales of norms."""

    lr_factor: float  # times the method's lr

    def prepare(self, net: nn.Module, seed: int) -> None:
        """Marks them; nothing is drawn."""
        net.requires_grad_(False)
        for layer in net.modules():
            norm = isinstance(layer, nn.GroupNorm | nn.LayerNorm)
            for name, value in layer.named_parameters(recurse=False):
                if name == "bias" or norm:
                    value.requires_grad_(True)
