"""Named ways from uint8 images to a network's input size. They move FID by whole points.

Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", CVPR 2022,
arXiv:2104.11222. PIL's filters widen when they shrink (antialiased); torch's, as used here, do not.

Shape legend: n images, s the network's side.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

PIL_FILTERS = {
    "pil_bicubic": Image.Resampling.BICUBIC,  # clean-fid's "clean"
    "pil_bilinear": Image.Resampling.BILINEAR,
    "pil_lanczos": Image.Resampling.LANCZOS,
}
BYTE_FILTERS = {
    "pil_bicubic_bytes": Image.Resampling.BICUBIC,  # CMMD's code
    "pil_bilinear_bytes": Image.Resampling.BILINEAR,  # torchvision's Resize of a PIL image
}
TORCH_FILTERS = {
    "torch_bilinear": False,  # pytorch-fid; clean-fid's "legacy_pytorch"
    "torch_bilinear_corners": True,  # align_corners, as WeditGAN's evaluation
}
RECIPES = (*PIL_FILTERS, *BYTE_FILTERS, *TORCH_FILTERS, "none")


def resize(images: Tensor, *, side: int, recipe: str) -> Tensor:
    """uint8 [n, 3, h, w] -> float32 [n, 3, s, s] in [0, 255], on the CPU.

    Not quantised, but for the recipes whose name ends in _bytes.

    Raises:
        ValueError: an unknown recipe.
    """
    if recipe not in RECIPES:
        raise ValueError(f"resize={recipe}: choose one of {', '.join(RECIPES)}")
    if recipe == "none" or (images.shape[-2:] == (side, side) and recipe in TORCH_FILTERS):
        return images.float()
    if recipe in TORCH_FILTERS:
        corners = TORCH_FILTERS[recipe]
        return F.interpolate(
            images.float(), (side, side), mode="bilinear", align_corners=corners
        ).clamp(0, 255)
    if recipe in BYTE_FILTERS:
        pictures = [Image.fromarray(x) for x in images.permute(0, 2, 3, 1).contiguous().numpy()]
        small = [np.array(p.resize((side, side), BYTE_FILTERS[recipe])) for p in pictures]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float()
    chosen = PIL_FILTERS[recipe]
    # Channel by channel in float: PIL resizes 8-bit RGB with rounding, which clean-fid avoids.
    planes = images.float().numpy().reshape(-1, *images.shape[-2:])
    out = [np.asarray(Image.fromarray(p).resize((side, side), chosen)) for p in planes]
    done = torch.from_numpy(np.stack(out).clip(0, 255))
    return done.reshape(len(images), 3, side, side)
