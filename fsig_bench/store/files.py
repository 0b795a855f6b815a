"""Tensors on disk with a digest of their content and a seal on their metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.plain import Json
from fsig_bench.api.weights import write_safetensors

if TYPE_CHECKING:
    from torch import Tensor


VERSION_1 = {"content", "wall_s", "state", "done"}  # metadata of files without a seal


def seal(values: Json) -> str:
    """Digest of plain values, whatever their order."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()


REMEDY = "delete it and run the same command again: only this piece is made anew"


def read_tensors(
    path: Path, place: Mapping[str, str] | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file of the store, checked against the digest that it carries.

    Args:
        path: the file.
        place: what its metadata must hold: the stage, key and range that its path stands for.

    Raises:
        ValueError: the file is damaged, or belongs to another place; it is named, with the remedy.
    """
    from safetensors import SafetensorError, safe_open

    remedy = REMEDY
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            # Cloned: a view into the file lies at any address, and kernels follow alignment.
            tensors = {k: file.get_tensor(k).clone() for k in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    given = metadata.pop("seal", None)
    # Files of version 1 have no seal, and these keys only.
    whole = seal(metadata) == given if given else not set(metadata) - VERSION_1
    if not whole or metadata.get("content") != _content_digest(tensors):
        raise ValueError(f"{path} is damaged: its content is not what was written; {remedy}")
    for name, value in (place or {}).items():
        if metadata.get(name) != value:
            held = metadata.get(name, "nothing")
            raise ValueError(
                f"{path} belongs elsewhere: its {name} is {held}, and here it must be {value}; "
                f"{remedy}"
            )
    return tensors, metadata


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors with a digest of their content and one of the metadata."""
    whole = {**metadata, "content": _content_digest(tensors)}
    write_safetensors(path, tensors, whole | {"seal": seal(whole)})


def _content_digest(tensors: Mapping[str, Tensor]) -> str:
    import torch

    head = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        head.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        head.update(t.flatten().view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return head.hexdigest()
