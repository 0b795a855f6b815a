"""Images that a user hands over: a folder, a list of files, or an array.

Shape legend: n images, h height, w width, r the suite's side.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fsig_bench.api.plain import Json
from fsig_bench.data.native import read_again
from fsig_bench.data.reading import list_images, read_images

if TYPE_CHECKING:
    import numpy.typing as npt

    from fsig_bench.networks.base import LazyImages

    Given = (
        str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | npt.NDArray[np.uint8] | Tensor
    )


def files_of(given: Given, role: str) -> list[Path] | None:
    """The files that a user names, in natural order for a folder; None for an array.

    Raises:
        ValueError: no such folder or files, or no image in the folder.
    """
    if isinstance(given, np.ndarray | Tensor):
        return None
    if isinstance(given, str | os.PathLike):
        try:
            return list_images(os.fspath(given))
        except ValueError as error:
            raise ValueError(f"{role}: {error}") from error
    files = [Path(os.fspath(path)).expanduser() for path in given]
    if not files:
        raise ValueError(f"{role}=[] names no image")
    if absent := [str(path) for path in files if not path.is_file()]:
        raise ValueError(f"{role} names files that are not there: {', '.join(absent[:5])}")
    return files


def pixels_of(given: npt.NDArray[np.uint8] | Tensor, role: str, resolution: int) -> Tensor:
    """An array as uint8 [n, 3, r, r].

    Args:
        given: uint8 [n, 3, r, r] or [n, r, r, 3]; which of the two is told by the axis of length 3.
        role: what the images are, for messages.
        resolution: r.

    Raises:
        ValueError: another dtype, rank or size, or both axes have length 3.
    """
    images = given if isinstance(given, Tensor) else torch.from_numpy(np.ascontiguousarray(given))
    images = images.detach().cpu()
    shape = tuple(images.shape)
    if images.dtype != torch.uint8:
        raise ValueError(
            f"{role} has dtype {images.dtype}; give uint8 from 0 to 255 "
            "(fsig_bench.api.to_uint8 turns float32 in [-1, 1] into it)"
        )
    if len(shape) != 4 or (shape[1] == 3) == (shape[3] == 3):
        raise ValueError(f"{role} has shape {shape}; give [n, 3, h, w] or [n, h, w, 3]")
    if shape[3] == 3:
        images = images.permute(0, 3, 1, 2)
    if images.shape[2:] != (resolution, resolution):
        raise ValueError(
            f"{role} holds images of {images.shape[2]} x {images.shape[3]} pixels, and the suite "
            f"scores {resolution} x {resolution}; give files, which are resized by a named recipe, "
            "or resize the array"
        )
    return images.contiguous()


def read_given(given: Given, role: str, *, resolution: int, resize: str) -> Tensor:
    """uint8 [n, 3, r, r] of a folder, files or an array.

    Args:
        given: a folder, a list of files, or an array as `pixels_of` takes it.
        role: what the images are, for messages.
        resolution: r; files are brought to it.
        resize: by this recipe of `fsig_bench.data.reading`.

    Raises:
        ValueError: images that cannot be read or do not fit; the message names them.
    """
    files = files_of(given, role)
    if files is None:
        return pixels_of(given, role, resolution)  # type: ignore[arg-type]  # an array
    return read_images(files, resolution=resolution, resize=resize)


def check_reference(protocol: Json, reference: Given | None, shots: Given | None) -> None:
    """Raises ValueError where a reference is given and the protocol's holds shots that are not."""
    rule = protocol["reference"]
    if rule != "held_out" and reference is not None and shots is None:
        holds = (
            "consists of the shots" if rule == "shots" else "holds the shots beside other images"
        )
        raise ValueError(
            f"the reference of protocol={protocol['name']} {holds}, and no shots are given: give "
            "shots=FOLDER, or protocol.reference=held_out for numbers under another hash"
        )


def read_reference(
    reference: Given | None,
    shots: Given | None,
    *,
    rule: str,
    read: str,
    resolution: int,
    resize: str,
) -> Tensor | LazyImages | None:
    """What samples are compared with; None where the rule needs images that are not given.

    Images that equal a shot are left out of the reference, and the rule may bring the shots in.

    Args:
        reference: held-out images of the target.
        shots: the shots.
        rule: held_out | with_shots | shots, the protocol's `reference`.
        read: dataset (as the shots) | native | a recipe, the protocol's `reference_read`. Arrays
            are taken as they are.
        resolution: r, the suite's side.
        resize: the recipe of files under read=dataset.

    Raises:
        ValueError: images that cannot be read, or fewer than two besides the shots.
    """
    how = {"resolution": resolution, "resize": resize if read in ("dataset", "native") else read}
    parts: list[list[Path] | Tensor] = []
    if rule != "held_out" and shots is None:
        return None
    if rule != "held_out":
        parts.append(files_of(shots, "shots") or pixels_of(shots, "shots", resolution))  # type: ignore[arg-type]
    if rule != "shots":
        if reference is None:
            return None
        parts.append(_without(reference, shots, resolution=resolution, resize=resize))
    if not parts:
        return None
    if read == "dataset" or any(isinstance(part, Tensor) for part in parts):
        return torch.cat([p if isinstance(p, Tensor) else read_images(p, **how) for p in parts])  # type: ignore[arg-type]
    return read_again([path for part in parts for path in part], read, resolution)  # type: ignore[misc]


def _without(
    reference: Given, shots: Given | None, *, resolution: int, resize: str
) -> list[Path] | Tensor:
    """The reference's files or images but for those whose pixels equal a shot's."""
    images = read_given(reference, "reference", resolution=resolution, resize=resize)
    equal = set()
    if shots is not None:
        known = read_given(shots, "shots", resolution=resolution, resize=resize)
        equal = {shot.numpy().tobytes() for shot in known}
    keep = [n for n, image in enumerate(images) if image.numpy().tobytes() not in equal]
    if len(keep) < 2:
        raise ValueError(
            f"reference holds {len(keep)} images besides the shots; give at least two held-out ones"
        )
    files = files_of(reference, "reference")
    return images[keep] if files is None else [files[n] for n in keep]
