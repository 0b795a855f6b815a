"""Self-supervised and language-supervised features through transformers: DINOv2, CLIP.

Oquab et al., "DINOv2", arXiv:2304.07193; Radford et al., "CLIP", arXiv:2103.00020; compared as
Frechet features by Stein et al., "Exposing flaws of generative model evaluation metrics", NeurIPS
2023, arXiv:2306.04675. An extra: pip install 'fsig-bench[vision]'.

Shape legend: n images, d features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fsig_bench.api.assets import Asset
from fsig_bench.api.compiling import compiled
from fsig_bench.networks.resize import resize

POSITIONS = "embeddings.position_embeddings"  # of DINOv2, in the layout of transformers
# Mean and standard deviation of inputs in [0, 1], by family.
NORMS = {
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}


def positions_at(table: Tensor, patches: int, *, offset: float = 0.1) -> Tensor:
    """DINOv2's position table [1, 1 + m^2, d] for images of `patches` x `patches`, as Meta's code.

    Its bicubic interpolation is told a scale of (patches + offset) / m, not the size, so that the
    grid is sampled a little more densely than transformers samples it.
    """
    rows = table.shape[1] - 1
    m = math.isqrt(rows)
    if rows != m * m:
        raise ValueError(f"a position table of {rows} patches is no square")
    if m == patches:
        return table
    grid = table[:, 1:].reshape(1, m, m, -1).permute(0, 3, 1, 2)
    scale = (patches + offset) / m
    grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], 1)


@dataclass(frozen=True, kw_only=True)
class VisionTransformer:
    """Weights in the layout of transformers, with the config.json beside them.

    They are safetensors, or a file that torch reads with `weights_only`, by the file's name.
    """

    name: str
    family: Literal["dinov2", "clip"]
    weights: Asset
    settings: Asset  # config.json
    resize: str  # see `fsig_bench.networks.resize`
    side: int
    device: str

    @property
    def digest(self) -> str:
        return self.weights.digest

    @cached_property
    def _net(self) -> Any:  # Any: transformers builds it, with outputs without types
        try:
            from safetensors.torch import load_file
            from transformers import AutoConfig, CLIPVisionModelWithProjection, Dinov2Model
        except ImportError as error:
            raise FileNotFoundError(
                f"{self.name} needs transformers: pip install 'fsig-bench[vision]'"
            ) from error
        config = AutoConfig.from_pretrained(str(self.settings.get()))
        if self.family == "clip":
            config.vision_config.projection_dim = config.projection_dim
            net: Any = CLIPVisionModelWithProjection(config.vision_config)
        else:
            config.image_size = self.side  # the network then takes the table as it is
            net = Dinov2Model(config)
        path = Path(self.weights.get())
        if path.suffix == ".safetensors":
            state = load_file(str(path))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        if self.family == "dinov2" and POSITIONS in state:
            patches = self.side // config.patch_size
            state[POSITIONS] = positions_at(state[POSITIONS].float(), patches)
        wanted = net.state_dict()
        if absent := sorted(set(wanted) - set(state)):
            raise ValueError(f"{self.weights.target} lacks {absent[:3]} of {self.name}")
        net.load_state_dict({k: state[k] for k in wanted})
        return compiled(net.eval().requires_grad_(False).to(self.device))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, h, w] -> float32 [n, d]: the class token (DINOv2), the embedding (CLIP)."""
        x = resize(images, side=self.side, recipe=self.resize).to(self.device) / 255
        mean, sd = (torch.tensor(v, device=x.device)[:, None, None] for v in NORMS[self.family])
        out = self._net(pixel_values=(x - mean) / sd)
        rows = out.image_embeds if self.family == "clip" else out.pooler_output
        return rows.float().cpu()
