"""The first stage: shots to state, from the store or made now."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fsig_bench.api import process
from fsig_bench.api.images import to_float
from fsig_bench.api.types import AdaptsInTeam, Method, State
from fsig_bench.console import Bar
from fsig_bench.runner.build import computing
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.distributed import barrier, first_decides, unseen
from fsig_bench.runner.fingerprint import marks
from fsig_bench.runner.progress import StageProgress
from fsig_bench.store.store import Store

Curve = Callable[[int, int, Mapping[str, float]], None]  # done, total, values


def adapt(
    cell: Cell,
    method: Method,
    store: Store,
    *,
    key: str | None = None,
    curve: Curve | None = None,
    title: str | None = None,
    wait: bool = True,
) -> tuple[State, float]:
    """Returns the state and the seconds it took, from the store or made now.

    In a team the first process adapts, or all of them if the method can share the work; every
    process returns the state as it was stored.

    Args:
        cell: gives the shots, the seed, the precision and the device.
        method: adapts to the shots.
        store: keeps the state.
        key: the state's key, if it is not the cell's own.
        curve: receives each point of the adaptation curve.
        title: of the stage on the screen, if it is not that of the cell's own adaptation.
        wait: whether to wait for another process that makes this state.

    Raises:
        Busy: another process makes this state and `wait` is false.
    """
    key, title = key or cell.adapt_key, title or f"adapt {cell.label}"
    found = store.load_state(key)
    (there,) = first_decides(found is not None)
    if there:
        return found or state_of_team(store, key)
    if process.rank() > 0:
        return _adapt(cell, method, store, key, curve, title)
    with store.locked(f"adapt-{key[:16]}", what=f"adapt {cell.label}", wait=wait):
        if process.size() == 1 and (found := store.load_state(key)):
            return found  # another process has made it meanwhile
        return _adapt(cell, method, store, key, curve, title)


def _adapt(
    cell: Cell, method: Method, store: Store, key: str, curve: Curve | None, title: str
) -> tuple[State, float]:
    shares_steps = isinstance(method, AdaptsInTeam) and method.adapts_in_team
    if process.rank() == 0 or shares_steps:
        shots = to_float(cell.dataset.shots(cell.shots.k, cell.shots.subset))
        policy = cell.precision.adapt
        with Bar(title, 1, "steps") as bar:
            progress = StageProgress(
                store, key, bar, cell.policy.checkpoint_s, curve, policy, marks(cell.method.spec)
            )
            with computing(cell.place, policy):
                seed = cell.seed if cell.method.uses_seed else 0
                state = method.adapt(shots, seed=seed, progress=progress)
            bar.update(bar.total)
            wall_s = progress.wall_s
        if process.rank() == 0:
            store.save_state(key, state, wall_s)
    barrier()
    if process.size() == 1:
        return state, wall_s
    return state_of_team(store, key)


def state_of_team(store: Store, key: str) -> tuple[State, float]:
    """A state that another member of the team has seen in the store.

    Raises:
        RuntimeError: it is not to be seen from here.
    """
    made = store.load_state(key)
    if made is None:
        raise unseen("state", store.adapt_folder(key))
    return made
