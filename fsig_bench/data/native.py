"""A protocol's own way of reading the reference: at its native size, or by another recipe.

Shape legend: n images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fsig_bench.data.reading import READING, read_images, read_native


@dataclass(frozen=True, kw_only=True)
class NativeImages:
    """Files that are read when they are looked at, each at its own size."""

    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def digest(self) -> str:
        """Of the files' bytes and of how they are read."""
        head = hashlib.sha256(f"{READING}/native".encode())
        for path in self.files:
            head.update(hashlib.sha256(path.read_bytes()).digest())
        return head.hexdigest()

    def batches(self, size: int) -> Iterator[Tensor]:
        """uint8 [n <= size, 3, h, w], in order; a batch ends where the images' size changes."""
        run: list[Tensor] = []
        for path in self.files:
            pixels = torch.from_numpy(read_native(path).transpose(2, 0, 1).copy())
            if run and (len(run) == size or run[0].shape != pixels.shape):
                yield torch.stack(run)
                run = []
            run.append(pixels)
        if run:
            yield torch.stack(run)


def read_again(files: Sequence[Path], read: str, resolution: int) -> Tensor | NativeImages:
    """Image files under a protocol's `reference_read`; a recipe brings them to `resolution` pixels.

    Raises:
        ValueError: an unknown recipe, or files that cannot be read.
    """
    if read == "native":
        return NativeImages(files=tuple(files))
    return read_images(files, resolution=resolution, resize=read)
