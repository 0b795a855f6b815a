"""The first stage: shots to state, from the store or made now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fsig_bench.api import process
from fsig_bench.api.images import to_float
from fsig_bench.api.types import State
from fsig_bench.console import Bar
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.device import precise, resolve_device
from fsig_bench.runner.distributed import barrier
from fsig_bench.runner.progress import StageProgress
from fsig_bench.store.store import Store

Curve = Callable[[int, int, Mapping[str, float]], None]  # done, total, values


def adapt(cell: Cell, method: Any, store: Store, curve: Curve | None = None) -> tuple[State, float]:
    """The state and the seconds it took, from the store or made now; in a team, by those who can.

    Every member leaves with the state as it was stored.
    """
    found = store.load_state(cell.adapt_key)
    barrier()  # all have looked: from here on they do the same
    if found:
        return found
    if process.rank() > 0:
        return _adapt(cell, method, store, curve)
    with store.locked(f"adapt-{cell.adapt_key[:16]}", what=f"adapt {cell.label}"):
        if process.size() == 1 and (found := store.load_state(cell.adapt_key)):
            return found  # another process has made it meanwhile
        return _adapt(cell, method, store, curve)


def _adapt(cell: Cell, method: Any, store: Store, curve: Curve | None) -> tuple[State, float]:
    config = cell.config
    if process.rank() == 0 or getattr(method, "adapts_in_team", False):
        shots = to_float(cell.dataset.shots(config["k"], config["subset"]))
        with Bar(f"adapt {cell.label}", 1, "steps") as bar:
            precision, every_s = config["precision"]["adapt"], config["checkpoint_s"]
            progress = StageProgress(store, cell.adapt_key, bar, every_s, curve, precision)
            with precise(precision, resolve_device(config["device"])):
                state = method.adapt(shots, seed=config["seed"], progress=progress)
            bar.update(bar.total)
            wall_s = progress.wall_s
        if process.rank() == 0:
            store.save_state(cell.adapt_key, state, wall_s)
    barrier()
    if process.size() == 1:
        return state, wall_s
    made = store.load_state(cell.adapt_key)
    assert made is not None
    return made
