"""The only door between what methods speak (float32 [-1, 1]) and what is scored (uint8).

Shape legend: n images, h height, w width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def to_uint8(x: Tensor, *, tolerance: float = 1e-3) -> Tensor:
    """float32 [n, 3, h, w] in [-1, 1] -> uint8, rounded to nearest: to_uint8(to_float(u)) == u.

    Values may leave the range by `tolerance` (rounding in a network's last layer); they are
    clamped.

    Raises:
        ValueError: wrong rank or dtype, values that are not finite or leave the range by more.
    """
    if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
        raise ValueError(f"expected float [n, 3, h, w], got {x.dtype} {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        bad = [int(i) for i in (~torch.isfinite(x)).flatten(1).any(1).nonzero().flatten()[:5]]
        raise ValueError(f"images {bad} of this batch hold NaN or infinity")
    if x.numel() and (worst := float(x.abs().max())) > 1 + tolerance:
        raise ValueError(
            f"image values reach {worst:.4g}, outside [-1, 1]; a sampler must clamp its output"
        )
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_float(u: Tensor) -> Tensor:
    """uint8 [n, 3, h, w] -> float32 in [-1, 1]."""
    if u.ndim != 4 or u.shape[1] != 3 or u.dtype != torch.uint8:
        raise ValueError(f"expected uint8 [n, 3, h, w], got {u.dtype} {tuple(u.shape)}")
    return u.to(torch.float32) / 127.5 - 1


def upload(x: Tensor, device: str | torch.device) -> Tensor:
    """`x` on the device. A GPU copies it from pinned memory while the host draws the next one."""
    if torch.device(device).type == "cuda" and x.device.type == "cpu":
        # The caching allocator keeps the pinned block until the copy is done.
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def pixels_sha256(u: Tensor) -> str:
    """The digest of uint8 images, shape included, in index order."""
    return pixels_sha256_of_parts([u], count=len(u))


def pixels_sha256_of_parts(parts: Iterable[Tensor], *, count: int) -> str:
    """As `pixels_sha256`, of images that come in parts, `count` of them together."""
    head = hashlib.sha256()
    for n, part in enumerate(parts):
        if n == 0:
            head.update(str((count, *part.shape[1:])).encode())
        if part.numel():  # the array's own memory: a copy of 50,000 images would be large
            head.update(part.contiguous().cpu().numpy().data)
    return head.hexdigest()
