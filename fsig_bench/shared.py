"""Work that several runs need: made once, and counted wherever it is used as if made there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the rim imports this file, and starts in a tenth of a second
    from torch import Tensor

    from fsig_bench.store import Store
    from fsig_bench.types import Sampler, Shared, State


class SharedWork:
    """A store's `Shared`; `owed_s` is what the finds cost where they were made."""

    def __init__(self, store: Store, precision: str = "fp32") -> None:
        self.store, self.precision, self.owed_s = store, precision, 0.0

    def __call__(self, key: Sequence[Any], compute: Callable[[], Tensor]) -> Tensor:
        began = time.perf_counter()
        own = list(key) if self.precision == "fp32" else [*key, self.precision]
        value, made_s = self.store.shared(own, compute)
        self.owed_s += made_s - (time.perf_counter() - began)
        return value


def sampler_of(method: Any, state: State, shared: Shared) -> Sampler:
    """A method's sampler; one that can share its work (`types.Shares`) is given `shared`."""
    share = getattr(method, "sharing_sampler", None)
    sampler: Sampler = share(state, shared) if share else method.sampler(state)
    return sampler
