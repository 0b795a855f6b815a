"""Where and how networks run: device, precision, compilation, offload.

Precision changes numbers beyond rounding, so it is part of a stage's key; device, compilation and
offload are not, as batch size is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from hydra.utils import instantiate
from torch import nn

from fsig_bench.runner.cell import Cell
from fsig_bench.runner.device import resolve_device

if TYPE_CHECKING:
    from fsig_bench.api.types import Sampler, Shared, State


def placed(node: Any, device: str) -> Any:
    """A config node with every `device` set."""
    if isinstance(node, Mapping):
        return {k: device if k == "device" else placed(v, device) for k, v in node.items()}
    return [placed(v, device) for v in node] if isinstance(node, list) else node


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


def notes_of(method: Any, state: State) -> dict[str, Any]:
    """What a record says about a state: the method's word (`types.Annotates`), else its meta."""
    notes = getattr(method, "notes", None)
    return dict(notes(state) if notes else state.meta)


def sampler_of(method: Any, state: State, shared: Shared) -> Sampler:
    """A method's sampler; one that can share its work (`types.SharesWork`) is given `shared`."""
    share = getattr(method, "sharing_sampler", None)
    sampler: Sampler = share(state, shared) if share else method.sampler(state)
    return sampler
