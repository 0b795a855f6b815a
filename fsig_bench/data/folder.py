"""Anyone's images as a few-shot target, with or without a reference folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fsig_bench.data.reading import check_recipe, list_images, read_images, read_pil

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The dataset `folder`; values stand in conf/dataset/folder.yaml."""

    name: str
    path: str
    reference: str | None  # a folder of held-out target images; None: metrics say what they miss
    n_ref: int | None  # how many of them; None: all
    resolution: int
    resize: str
    shots_list: list[str] | None  # file names of the canonical shots; None: the first k

    source_domain: ClassVar[None] = None

    @cached_property
    def _files(self) -> list[Path]:
        files = list_images(self.path)
        if self.shots_list is None:
            return files
        by_name = {p.name: p for p in files}
        if absent := [n for n in self.shots_list if n not in by_name]:
            raise ValueError(f"dataset.shots_list names {absent}, which {self.path} does not hold")
        return [by_name[n] for n in self.shots_list]

    @cached_property
    def _reference_files(self) -> list[Path] | None:
        return None if self.reference is None else list_images(self.reference)[: self.n_ref]

    def _chosen(self, k: int, subset: int) -> list[Path]:
        if subset == 0:
            return self._files[:k]
        order = np.random.default_rng(subset).permutation(len(self._files))
        return [self._files[i] for i in sorted(order[:k])]

    def check(self, k: int, subset: int) -> None:
        """Decodes the shots and counts the reference before any long work.

        Raises:
            ValueError: too few images, or images that cannot be read.
        """
        check_recipe(self.resize)
        if k > len(self._files):
            raise ValueError(
                f"k={k} shots asked for, but {self.path} holds {len(self._files)} images; "
                f"ask for k<={len(self._files)} or add images"
            )
        read_pil(self._chosen(k, subset), resolution=self.resolution, resize=self.resize)
        if self._reference_files is not None:
            wanted, there = self.n_ref or 2, len(self._reference_files)
            if there < wanted:
                raise ValueError(
                    f"dataset.n_ref={wanted}, but {self.reference} holds {there} images; "
                    f"set dataset.n_ref={there} or add images"
                )

    def shots(self, k: int, subset: int) -> Tensor:
        """uint8 [k, 3, resolution, resolution]."""
        return read_images(self._chosen(k, subset), resolution=self.resolution, resize=self.resize)

    def shot_names(self, k: int, subset: int) -> list[str]:
        """File names, without the path."""
        return [p.name for p in self._chosen(k, subset)]

    def reference_images(self, k: int, subset: int) -> Tensor | None:
        """uint8 [n, 3, h, w] without images that equal a shot; None without a reference folder."""
        if self._reference_files is None:
            return None
        images = read_images(self._reference_files, resolution=self.resolution, resize=self.resize)
        shots = {s.numpy().tobytes() for s in self.shots(k, subset)}
        keep = [i for i, image in enumerate(images) if image.numpy().tobytes() not in shots]
        if len(keep) < 2:
            raise ValueError(
                f"{self.reference} holds {len(keep)} images besides the shots; add images"
            )
        return images[keep]

    def fingerprint(self, k: int, subset: int) -> str:
        """Digest of the shots' bytes and of how they are resized."""
        return self._digest(self._chosen(k, subset))

    def reference_fingerprint(self) -> str | None:
        """Digest of the reference's bytes; None without one."""
        return None if self._reference_files is None else self._digest(self._reference_files)

    def _digest(self, files: list[Path]) -> str:
        head = hashlib.sha256(f"{self.resize}/{self.resolution}".encode())
        for path in files:
            head.update(hashlib.sha256(path.read_bytes()).digest())
        return head.hexdigest()
