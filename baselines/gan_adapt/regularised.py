"""The lazy regularisation of StyleGAN2: intervals, weights, and the rates that go with them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn, optim


@dataclass(frozen=True, kw_only=True)
class Regularisation:
    """arXiv:1912.04958, section 3.2 and appendix B; values of rosinality's code."""

    r1_gamma: float
    r1_every: int  # steps
    path_weight: float
    path_every: int  # steps
    path_shrink: int  # path lengths of so many times fewer images
    path_decay: float  # of the running mean of path lengths

    def path_batch(self, n: int) -> int:
        """Images whose path lengths are computed, in a step of n."""
        return max(1, n // self.path_shrink)


def lazy_adam(net: nn.Module, lr: float, every: int) -> optim.Adam:
    """Adam for a network whose regularisation is a step of its own, every so many steps.

    Such a network makes every + 1 steps in the place of `every`; rate and moments follow.
    """
    share = every / (every + 1)
    trained = [p for p in net.parameters() if p.requires_grad]
    return optim.Adam(trained, lr=lr * share, betas=(0.0, 0.99**share))
