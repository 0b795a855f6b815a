"""Where and how networks run: device, precision, compilation, offload.

Precision changes numbers beyond rounding, so it is part of a stage's key; device, compilation and
offload are not, as batch size is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import torch
from hydra.utils import instantiate
from torch import nn

from fsig_bench.gpus import GPU
from fsig_bench.settings import Cell

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> str:
    """`auto` becomes cuda where there is one: this process's own, if several share the work.

    Raises:
        ValueError: cuda is asked for and not there.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={name}, but torch sees no CUDA device; use device=cpu")
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        local = os.environ.get("LOCAL_RANK", os.environ.get(GPU))
        return "cuda" if local is None else f"cuda:{int(local) % torch.cuda.device_count()}"
    return "cpu" if name == "auto" else name


def placed(node: Any, device: str) -> Any:
    """A config node with every `device` set."""
    if isinstance(node, Mapping):
        return {k: device if k == "device" else placed(v, device) for k, v in node.items()}
    return [placed(v, device) for v in node] if isinstance(node, list) else node


@contextmanager
def precise(name: str, device: str) -> Iterator[None]:
    """Runs a stage in one of the policies of `settings.PRECISIONS`.

    fp32: IEEE single precision, convolutions too (torch's own default on a GPU is TF32 for these);
    tf32: both in TF32 where the device has it; bf16, fp16: autocast, weights stay in fp32. They are
    cast anew at each use: autocast's cache lasts as long as its context, here a whole stage, and
    training would go on with the weights of its first step.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = name == "tf32"
    kind = torch.device(device).type
    try:
        half = HALVES.get(name)
        with torch.autocast(kind, half, cache_enabled=False) if half else nullcontext():
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def networks(node: Any) -> dict[int, nn.Module]:
    """Every network that a method's parts hold in a cached property, each once, by identity.

    Looking at them loads them.
    """
    found: dict[int, nn.Module] = {}
    if is_dataclass(node) and not isinstance(node, type):
        for field in fields(node):
            found |= networks(getattr(node, field.name))
        for name, member in vars(type(node)).items():
            if isinstance(member, cached_property):
                value = getattr(node, name)
                parts = value if isinstance(value, tuple) else (value,)
                found |= {id(p): p for p in parts if isinstance(p, nn.Module)}
    return found


def tuned(method: Any, config: Mapping[str, Any]) -> Any:
    """The method with its frozen networks compiled or offloaded, as the config asks.

    Args:
        method: a method; its networks are changed in place.
        config: with `compile` (null or a mode of torch.compile; reduce-overhead records CUDA
            graphs), `offload` (weights stay in the host's memory but for the layer at work) and
            `device`.

    Raises:
        ValueError: the mode is unknown, or offload's package is not there.
    """
    mode, device = config["compile"], resolve_device(config["device"])
    if mode is not None:
        for net in networks(method).values():
            net.compile(mode=mode)
    if config["offload"]:
        try:
            from accelerate import cpu_offload
        except ImportError as error:
            raise ValueError(
                "offload=true needs accelerate: pip install 'fsig-bench[gpu]'"
            ) from error
        for net in networks(method).values():
            cpu_offload(net, execution_device=torch.device(device))
    return method


def build_method(cell: Cell) -> Any:
    """The method of a cell, from its `_target_`."""
    spec = {k: v for k, v in cell.config["method"].items() if k != "card"}
    method = instantiate(placed(spec, resolve_device(cell.config["device"])), _convert_="all")
    return tuned(method, cell.config)
