"""Reading weight files that carry their architecture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
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
