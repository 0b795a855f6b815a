"""Where networks run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def resolve_device(name: str) -> str:
    """`auto` becomes cuda where there is one.

    Raises:
        ValueError: cuda is asked for and not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={name}, but torch sees no CUDA device; use device=cpu")
    return name


def placed(node: Any, device: str) -> Any:
    """A config node with every `device` set."""
    if isinstance(node, Mapping):
        return {k: device if k == "device" else placed(v, device) for k, v in node.items()}
    return [placed(v, device) for v in node] if isinstance(node, list) else node
