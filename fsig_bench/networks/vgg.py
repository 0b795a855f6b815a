"""VGG-16's second fully connected layer: the space of improved precision and recall.

Simonyan & Zisserman, arXiv:1409.1556; Kynkaanniemi et al., NeurIPS 2019, arXiv:1904.06991, section
3.1, measure precision and recall there, before the activation; RS-IMLE's and AdAM's code do, too.

Shape legend: n images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from fsig_bench.api.assets import Asset
from fsig_bench.api.compiling import compiled
from fsig_bench.networks.resize import resize

SIDE = 224
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of inputs in [0, 1]


@dataclass(frozen=True, kw_only=True)
class VGGFc2:
    """A state dict of torchvision's vgg16, read without unpickling code."""

    name: str
    weights: Asset
    resize: str  # see `fsig_bench.networks.resize`
    device: str

    @property
    def digest(self) -> str:
        return self.weights.digest

    @cached_property
    def _net(self) -> nn.Sequential:
        from torchvision.models import vgg16

        with torch.device("meta"):
            net = vgg16(weights=None, init_weights=False)
        state = torch.load(self.weights.get(), map_location="cpu", weights_only=True)
        net.load_state_dict(state, assign=True)
        layers = nn.Sequential(net.features, net.avgpool, nn.Flatten(), net.classifier[:4])
        return compiled(layers.eval().requires_grad_(False).to(self.device))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, h, w] -> float32 [n, 4096]."""
        x = resize(images, side=SIDE, recipe=self.resize).to(self.device) / 255
        mean, sd = (torch.tensor(v, device=x.device)[:, None, None] for v in (MEAN, SD))
        rows: Tensor = self._net((x - mean) / sd)
        return rows.cpu()
