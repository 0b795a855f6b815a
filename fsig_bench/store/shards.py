"""Which shards hold the samples of a run.

A shard covers a range of indices whose edges are multiples of the shard's size; the last one of a
run may be shorter, and its file is named by the range that it has. A run takes the shard of exactly
its range, or else the whole shard, which another run of the same key has drawn. A shorter shard is
never continued: batches start at a shard's edge, so the whole one is drawn anew beside it, and
equals what a run that asked for all of it at once would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.store.store import Store

Range = tuple[int, int]  # indices from the first to before the second


def whole_size(value: object) -> int:
    """The images in a whole shard, as a record's suite names them.

    Raises:
        ValueError: that is no such number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 10**9:
        raise ValueError(f"suite.shard_size={value!r}: the record names no size of its shards")
    return value


def shard_ranges(count: int, size: int) -> list[Range]:
    """The ranges of `count` images in shards of `size`; the last one may be shorter."""
    return [(a, min(a + size, count)) for a in range(0, count, size)]


def stored_range(store: Store, key: str, wanted: Range, size: int) -> Range | None:
    """The range of the stored shard that holds a range of `shard_ranges`; None: there is none."""
    whole = wanted[0], wanted[0] + size
    found = (r for r in dict.fromkeys((wanted, whole)) if store.shard_path(key, *r).exists())
    return next(found, None)


def missing_ranges(store: Store, key: str, count: int, size: int) -> list[Range]:
    """The ranges of a run's samples that no stored shard holds."""
    return [r for r in shard_ranges(count, size) if stored_range(store, key, r, size) is None]


def stored_parts(
    store: Store, key: str, *, count: int, size: int
) -> Iterator[tuple[Range, Tensor, float]]:
    """A run's samples shard by shard, up to the first shard that is missing.

    Args:
        store: where they are.
        key: of the samples.
        count: how many samples the run has.
        size: images in a whole shard.

    Returns:
        For each shard the range of the run's samples in it, these (uint8 [n, 3, h, w]), and the
        seconds that drawing them took.

    Raises:
        ValueError: a shard is damaged or of another run.
    """
    for wanted in shard_ranges(count, size):
        if (found := stored_range(store, key, wanted, size)) is None:
            return
        images, seconds = store.load_shard(key, *found)
        used = wanted[1] - wanted[0]
        yield wanted, images[:used], seconds * used / len(images)


def stored_images(store: Store, key: str, *, count: int, size: int) -> tuple[Tensor, float]:
    """All samples of a run, uint8 [count, 3, h, w], and the seconds that drawing them took.

    Raises:
        ValueError: a shard is damaged or of another run.
        FileNotFoundError: a shard is missing.
    """
    import torch

    whole, wall_s, done = torch.empty(0), 0.0, 0
    for (start, end), images, seconds in stored_parts(store, key, count=count, size=size):
        if start == 0:  # one piece of memory, in which the shards are laid one after the other
            whole = torch.empty((count, *images.shape[1:]), dtype=images.dtype)
        whole[start:end] = images
        wall_s, done = wall_s + seconds, end
    if done < count:
        raise FileNotFoundError(f"{store.sample_folder(key)} lacks the images from {done} on")
    return whole, wall_s


def first_images(store: Store, key: str, wanted: int, *, count: int, size: int) -> Tensor | None:
    """The first `wanted` of a run's `count` samples, or as many as there are; None: there are none.

    Raises:
        ValueError: a shard is damaged or of another run.
    """
    import torch

    parts: list[Tensor] = []
    for (_, end), images, _ in stored_parts(store, key, count=count, size=size):
        parts.append(images)
        if end >= wanted:
            break
    return torch.cat(parts)[:wanted] if parts else None
