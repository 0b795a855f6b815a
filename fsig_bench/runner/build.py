"""Where and how networks run: device, precision, compilation, offload.

Device, compilation and offload change nothing beyond rounding, so they enter no key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cached_property

import torch
from hydra.utils import instantiate
from torch import nn

from fsig_bench.api.compiling import compiled, compiling
from fsig_bench.api.plain import JsonDict
from fsig_bench.api.types import Annotates, Method, Sampler, Shared, SharesWork, State
from fsig_bench.runner.device import precision_policy, resolve_device
from fsig_bench.runner.settings import MethodSettings, Place


def with_device(node: object, device: str) -> object:
    """A YAML value with every `device` in it set."""
    if isinstance(node, Mapping):
        return {k: device if k == "device" else with_device(v, device) for k, v in node.items()}
    return [with_device(v, device) for v in node] if isinstance(node, list) else node


def networks(node: object) -> dict[int, nn.Module]:
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


def compile_or_offload(method: Method, place: Place) -> Method:
    """The method with its frozen networks compiled or offloaded, as the place says.

    Args:
        method: its networks are changed in place.
        place: `compile` is a mode of torch.compile (reduce-overhead records CUDA graphs);
            `offload` keeps weights in the host's memory but for the layer that computes.

    Raises:
        ValueError: offload's package is not installed.
    """
    if place.compile is not None:
        with compiling(mode=place.compile):
            for net in networks(method).values():
                compiled(net)
    if place.offload:
        try:
            from accelerate import cpu_offload
        except ImportError as error:
            raise ValueError(
                "offload=true needs accelerate: pip install 'fsig-bench[gpu]'"
            ) from error
        device = torch.device(resolve_device(place.device))
        for net in networks(method).values():
            cpu_offload(net, execution_device=device)
    return method


@contextmanager
def computing(place: Place, policy: str) -> Iterator[None]:
    """A stage's floating-point policy; networks that are built inside compile as the place says."""
    options = {} if place.compile is None else {"mode": place.compile}
    with compiling(**options), precision_policy(policy, resolve_device(place.device)):
        yield


def build_method(settings: MethodSettings, place: Place) -> Method:
    """The method that its settings name, on its device."""
    spec = with_device(settings.spec, resolve_device(place.device))
    method: Method = instantiate(spec, _convert_="all")
    return compile_or_offload(method, place)


def notes_of(method: Method, state: State) -> JsonDict:
    """What a record says about a state: the method's notes (`Annotates`), else its meta."""
    return dict(method.notes(state) if isinstance(method, Annotates) else state.meta)


def sampler_of(method: Method, state: State, *, draw: int, shared: Shared) -> Sampler:
    """A method's sampler; one that can share its work (`SharesWork`) is given `shared`."""
    if isinstance(method, SharesWork):
        return method.sharing_sampler(state, draw=draw, shared=shared)
    return method.sampler(state, draw=draw)
