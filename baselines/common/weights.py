"""Reading weight files that carry their architecture, and making them from those that do not."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from fsig_bench.api import Asset, Json, JsonDict, cache_folder, check_at_rest, write_safetensors

# Tensors in plain containers, nested as whoever wrote the file liked.
Checkpoint = Mapping[str, Any]
CONVERSION = 1  # raise when a change of a converter changes what it makes


def read_weights(path: Path) -> tuple[JsonDict, dict[str, Tensor]]:
    """The architecture in a file's metadata, and its tensors, floating-point ones as float32.

    Raises:
        ValueError: the file carries no architecture.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "architecture" not in metadata:
            raise ValueError(f"{path} carries no architecture; it was not made by a recipe here")
        tensors = {k: file.get_tensor(k) for k in file.keys()}
    single = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    return dict(json.loads(metadata["architecture"])), single


def read_plain(asset: Asset) -> Checkpoint:
    """A checkpoint as tensors and plain containers; nothing in it is executed.

    Raises:
        ValueError: the file holds more than that.
    """
    if asset.get().suffix == ".safetensors":
        return dict(load_file(asset.get()))
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # training arguments
            return dict(torch.load(asset.get(), map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{asset.target} is no checkpoint of plain tensors, and what else it holds is not "
            f"run ({str(error).splitlines()[0]})"
        ) from error


def converted(
    asset: Asset,
    recipe: str,
    architecture: Json,
    convert: Callable[[Checkpoint], Mapping[str, Tensor]],
) -> Path:
    """Safetensors made once, in the cache, from a checkpoint in somebody else's layout.

    Raises:
        ValueError: see `read_plain`; or `convert` refuses it.
    """
    config = json.dumps(architecture, sort_keys=True)
    key = hashlib.sha256(f"{asset.digest}/{recipe}/{CONVERSION}/{config}".encode()).hexdigest()
    name = f"{Path(asset.file).stem}-{recipe}-{key[:12]}.safetensors"
    target = cache_folder() / "converted" / name
    if not target.exists():
        tensors = convert(read_plain(asset))
        write_safetensors(target, tensors, {"architecture": config, "from": asset.digest})
    check_at_rest(target)
    return target
