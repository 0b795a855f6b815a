"""Anyone's images as a few-shot target, with or without a reference folder.

Checks and fingerprints need no torch, and within one command every file is read once, however many
cells (the method and its controls) share the folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from fsig_bench.api.digests import sha256_once
from fsig_bench.data.reading import (
    READING,
    check_headers,
    check_recipe,
    list_images,
    read_pixels,
    to_tensor,
)

if TYPE_CHECKING:
    from torch import Tensor

Stamp = tuple[str, int, int]  # path, size in bytes, time of change in ns


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The dataset `folder`; values stand in conf/dataset/folder.yaml."""

    name: str
    path: str
    reference: str | None  # a folder of held-out target images; None: metrics say what they miss
    n_ref: int | None  # how many of them; None: all
    resolution: int
    resize: str
    shots_resize: str | None  # of the shots, where a method's authors read them otherwise
    shots_list: list[str] | None  # file names of the canonical shots; None: the first k

    source_domain: ClassVar[None] = None

    @property
    def _shots_recipe(self) -> str:
        return self.shots_resize or self.resize

    @cached_property
    def _files(self) -> list[Path]:
        return list_images(self.path)

    @cached_property
    def _canonical(self) -> list[Path]:
        if self.shots_list is None:
            return self._files
        if isinstance(self.shots_list, str):
            raise ValueError(f"dataset.shots_list={self.shots_list}: give a list, [a.png,b.png]")
        by_name = {p.name: p for p in self._files}
        if absent := [n for n in self.shots_list if n not in by_name]:
            raise ValueError(
                f"dataset.shots_list names {absent}, which {self.path} does not hold; "
                "give names of files directly inside it"
            )
        if twice := sorted({n for n in self.shots_list if self.shots_list.count(n) > 1}):
            raise ValueError(f"dataset.shots_list names {twice} more than once; name each once")
        return [by_name[n] for n in self.shots_list]

    @cached_property
    def _reference_files(self) -> list[Path] | None:
        return None if self.reference is None else list_images(self.reference)[: self.n_ref]

    def _chosen(self, k: int, subset: int) -> list[Path]:
        if subset == 0:
            return self._canonical[:k]

        # Ranking by hash needs no random generator: the same on every machine and version, and
        # the shots for a smaller k are among those for a larger one.
        def rank(path: Path) -> bytes:
            return hashlib.sha256(f"{subset}/{path.name}".encode()).digest()

        drawn = set(sorted(self._files, key=rank)[:k])
        return [p for p in self._files if p in drawn]

    def check(self, k: int, subset: int) -> None:
        """Decodes the shots and looks at the reference's headers, before any long work.

        Raises:
            ValueError: too few images, or images that cannot be read.
        """
        check_recipe(self.resize)
        check_recipe(self._shots_recipe)
        if subset < 0:
            raise ValueError(f"subset={subset}: subsets count from 0, the canonical shot list")
        pool = self._canonical if subset == 0 else self._files
        if k > len(pool):
            what = "dataset.shots_list names" if pool is not self._files else f"{self.path} holds"
            raise ValueError(
                f"k={k} shots asked for, but {what} {len(pool)} images; "
                f"ask for k<={len(pool)} or add images"
            )
        if subset and k == len(pool):
            raise ValueError(
                f"subset={subset} would be the same {k} shots as any other: {self.path} holds no "
                f"more than k={k} images; use subset=0, a smaller k, or add images"
            )
        self._pixels(self._chosen(k, subset), self._shots_recipe)
        self._check_reference(k, subset)

    def _check_reference(self, k: int, subset: int) -> None:
        if (files := self._reference_files) is None:
            return
        if self.n_ref is not None and self.n_ref < 2:
            raise ValueError(f"dataset.n_ref={self.n_ref}: give at least 2, or null for all images")
        if self.n_ref is not None and len(files) < self.n_ref:
            raise ValueError(
                f"dataset.n_ref={self.n_ref}, but {self.reference} holds {len(files)} images; "
                f"set dataset.n_ref={len(files)} or add images"
            )
        check_headers(files)
        shots = {_sha256(p) for p in self._chosen(k, subset)}
        self._require_two(sum(_sha256(p) not in shots for p in files))

    def _require_two(self, left: int) -> None:
        if left < 2:
            raise ValueError(
                f"dataset.reference={self.reference} holds {left} images besides the shots; "
                "give held-out images, or null to go without"
            )

    def read_all(self) -> None:
        """Decodes the reference whole: a damaged file is named before hours of work, not after.

        Raises:
            ValueError: images that cannot be read.
        """
        if self._reference_files is not None:
            self._pixels(self._reference_files, self.resize)

    def shots(self, k: int, subset: int) -> Tensor:
        """uint8 [k, 3, resolution, resolution]."""
        return to_tensor(self._pixels(self._chosen(k, subset), self._shots_recipe))

    def shot_names(self, k: int, subset: int) -> list[str]:
        """File names, without the path."""
        return [p.name for p in self._chosen(k, subset)]

    def reference_images(self, k: int, subset: int) -> Tensor | None:
        """uint8 [n, 3, h, w] without images that equal a shot; None without a reference folder."""
        if self._reference_files is None:
            return None
        keep = self._apart_from_shots(k, subset)
        self._require_two(int(keep.sum()))
        return to_tensor(self._pixels(self._reference_files, self.resize)[keep])

    def files(self, role: str, k: int, subset: int) -> list[Path] | None:
        """Image files of the shots, or of the reference without images that equal a shot."""
        if role == "shots":
            return self._chosen(k, subset)
        if self._reference_files is None:
            return None
        keep = self._apart_from_shots(k, subset)
        return [p for p, kept in zip(self._reference_files, keep, strict=True) if kept]

    def _apart_from_shots(self, k: int, subset: int) -> npt.NDArray[np.bool_]:
        shots = {s.tobytes() for s in self._pixels(self._chosen(k, subset), self.resize)}
        images = self._pixels(self._reference_files or [], self.resize)
        return np.array([image.tobytes() not in shots for image in images])

    def fingerprint(self, k: int, subset: int) -> str:
        """Digest of the shots' bytes and of how they are read."""
        return self._digest(self._chosen(k, subset), self._shots_recipe)

    def reference_fingerprint(self) -> str | None:
        """Digest of the reference's bytes; None without one."""
        files = self._reference_files
        return None if files is None else self._digest(files, self.resize)

    def _digest(self, files: list[Path], resize: str) -> str:
        head = hashlib.sha256(f"{READING}/{resize}/{self.resolution}".encode())
        for path in files:
            head.update(_sha256(path))
        return head.hexdigest()

    def _pixels(self, files: list[Path], resize: str) -> npt.NDArray[np.uint8]:
        return _read(tuple(map(_stamp, files)), self.resolution, resize)


@dataclass(frozen=True, kw_only=True)
class FolderImages:
    """A folder's images by index, in natural order of their names."""

    files: str  # the folder; a stage's key holds the files' content instead
    resolution: int
    resize: str

    def load(self, indices: Sequence[int]) -> Tensor:
        """uint8 [n, 3, h, w]; indices past the end start over, and are never scored."""
        paths = list_images(self.files)
        chosen = [paths[i % len(paths)] for i in indices]
        return to_tensor(_read(tuple(map(_stamp, chosen)), self.resolution, self.resize))


@dataclass(frozen=True, kw_only=True)
class FolderPool:
    """All images of a folder at once: what a pretraining recipe draws its batches from."""

    files: str
    resolution: int
    resize: str

    def pool(self, work: Path) -> Tensor:
        """uint8 [n, 3, resolution, resolution]; FFHQ at 256 px takes 13 GiB of host memory."""
        stamps = tuple(map(_stamp, list_images(self.files)))
        return to_tensor(_read(stamps, self.resolution, self.resize))


def folder_digest(path: str) -> tuple[str, int]:
    """Digest of a folder's files in natural order, and how many there are."""
    files = list_images(path)
    head = hashlib.sha256(f"{READING}".encode())
    for file in files:
        head.update(_sha256(file))
    return head.hexdigest(), len(files)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:  # a link to nowhere: reading it will name it beside the other bad files
        return str(path), -1, -1
    return str(path), found.st_size, found.st_mtime_ns


@lru_cache(maxsize=4)
def _read(stamps: tuple[Stamp, ...], resolution: int, resize: str) -> npt.NDArray[np.uint8]:
    return read_pixels([Path(s[0]) for s in stamps], resolution=resolution, resize=resize)


def _sha256(path: Path) -> bytes:
    return bytes.fromhex(sha256_once(path))
