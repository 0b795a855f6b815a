"""torch.compile for every network that a run builds: frozen, tuned, trained or measuring.

The runner says how (`compiling`), once a stage; whoever builds a network hands it through
`compiled`, as a method does with a copy that it tunes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import nn

    Net = TypeVar("Net", bound=nn.Module)

_options: ContextVar[Mapping[str, Any] | None] = ContextVar(
    "options of torch.compile", default=None
)


@contextmanager
def compiling(**options: Any) -> Iterator[None]:  # Any: what torch.compile takes
    """Inside, `compiled` compiles with these options; without options it does nothing.

    Args:
        options: of torch.compile, such as `mode` or `backend`.
    """
    token = _options.set(options or None)
    try:
        yield
    finally:
        _options.reset(token)


def compiled(net: Net) -> Net:
    """The network itself; its calls are compiled from now on if the run asks for it.

    Only calls are: a method of its own such as `net.mapping(z)` runs as it is. A copy of a
    compiled network is not compiled and has to be handed through again.
    """
    if (options := _options.get()) is not None:
        net.compile(**options)
    return net
