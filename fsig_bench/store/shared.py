"""Work that several runs need: made once, and counted wherever it is used as if made there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line imports this file, and starts in a tenth of a second
    from torch import Tensor

    from fsig_bench.store.store import Store


class SharedWork:
    """A store's `Shared`; `borrowed_s` is what the finds cost where they were made."""

    def __init__(
        self, store: Store, precision: str = "fp32", code: Sequence[Sequence[str]] = ()
    ) -> None:
        self.store, self.precision, self.borrowed_s = store, precision, 0.0
        self.code = [list(part) for part in code]  # [class, mark] of the method's classes

    def full_key(self, key: Sequence[object]) -> list[object]:
        """A method's key with what else decides the numbers: precision, and the code.

        Device, batch and compilation are left out, as they are from a stage's key.
        """
        from fsig_bench.store.keys import STAGE_VERSION

        return [*key, self.precision, self.code, STAGE_VERSION]

    def __call__(self, key: Sequence[object], compute: Callable[[], Tensor]) -> Tensor:
        began = time.perf_counter()
        value, made_s = self.store.shared(self.full_key(key), compute)
        self.borrowed_s += made_s - (time.perf_counter() - began)
        return value
