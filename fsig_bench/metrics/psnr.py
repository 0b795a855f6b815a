"""Peak signal-to-noise ratio of 8-bit images, in dB."""

from __future__ import annotations

import torch
from torch import Tensor


def psnr(*, real: Tensor, fake: Tensor) -> Tensor:
    """10 log10(255^2 / mse) for each image of uint8 [n, ...], float64 [n]; identical gives inf."""
    if real.shape != fake.shape:
        raise ValueError(f"real {tuple(real.shape)} and fake {tuple(fake.shape)} differ in shape")
    mse = (real.double() - fake.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(255.0**2 / mse)
