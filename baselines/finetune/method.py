"""Fine-tuning in which few numbers are fitted; the method is told in the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from baselines.common.finetuning import trainable_copy
from baselines.common.unet import PixelUNet
from baselines.domainstudio import DomainStudio
from baselines.finetune.tuning import Tune
from fsig_bench.api import State


@dataclass(frozen=True, kw_only=True)
class FineTune(DomainStudio):
    """The method; its values stand in conf/method/tune/."""

    tune: Tune

    @property
    def rate(self) -> float:
        """Of the optimiser."""
        return self.lr * self.tune.lr_factor

    def network(self, seed: int) -> PixelUNet:
        """A copy of the source model in which only what is fitted requires gradients."""
        net = trainable_copy(self.source.unet)
        self.tune.prepare(net, seed)
        return net

    def kept(self, net: PixelUNet, final: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is fitted: the rest is the source model's."""
        fitted = {name for name, value in net.named_parameters() if value.requires_grad}
        return {name: value for name, value in final.items() if name in fitted}

    def restored(self, state: State) -> PixelUNet:
        """The tuned network of a state."""
        net = self.network(state.seed)
        net.load_state_dict(dict(state.tensors), strict=False)
        return net.requires_grad_(False)
