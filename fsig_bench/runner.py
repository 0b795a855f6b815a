"""One run: adapt, sample, score. Each stage is looked up by its key before it is done."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fsig_bench import team
from fsig_bench.console import Bar, StageProgress, console
from fsig_bench.images import pixels_sha256, to_float
from fsig_bench.placing import build_method, precise, resolve_device
from fsig_bench.sampling import sample
from fsig_bench.scoring import score
from fsig_bench.settings import Cell
from fsig_bench.shared import notes_of
from fsig_bench.status import command_of, under_way
from fsig_bench.store import Store, read_record, write_record
from fsig_bench.trackers.base import send_again, tracking
from fsig_bench.types import State

Curve = Callable[[int, int, Mapping[str, float]], None]  # done, total, values


def adapt(cell: Cell, method: Any, store: Store, curve: Curve | None = None) -> tuple[State, float]:
    """The state and the seconds it took, from the store or made now; in a team, by those who can.

    Every member leaves with the state as it was stored.
    """
    found = store.load_state(cell.adapt_key)
    team.meet()  # all have looked: from here on they do the same
    if found:
        return found
    if team.rank() > 0:
        return _adapt(cell, method, store, curve)
    with store.locked(f"adapt-{cell.adapt_key[:16]}", what=f"adapt {cell.label}"):
        if team.size() == 1 and (found := store.load_state(cell.adapt_key)):
            return found  # another process has made it meanwhile
        return _adapt(cell, method, store, curve)


def _adapt(cell: Cell, method: Any, store: Store, curve: Curve | None) -> tuple[State, float]:
    config = cell.config
    if team.rank() == 0 or getattr(method, "adapts_in_team", False):
        shots = to_float(cell.dataset.shots(config["k"], config["subset"]))
        with Bar(f"adapt {cell.label}", 1, "steps") as bar:
            precision, every_s = config["precision"]["adapt"], config["checkpoint_s"]
            progress = StageProgress(store, cell.adapt_key, bar, every_s, curve, precision)
            with precise(precision, resolve_device(config["device"])):
                state = method.adapt(shots, seed=config["seed"], progress=progress)
            bar.update(bar.total)
            wall_s = progress.wall_s
        if team.rank() == 0:
            store.save_state(cell.adapt_key, state, wall_s)
    team.meet()
    if team.size() == 1:
        return state, wall_s
    made = store.load_state(cell.adapt_key)
    assert made is not None
    return made


def run(cell: Cell, store: Store, *, wait: bool = True) -> tuple[dict[str, Any], bool]:
    """The record of a cell, and whether it was already there.

    Raises:
        Busy: another process is at this run and `wait` is false.
    """
    record = store.record(cell.folder)
    team.meet()
    if team.rank() > 0:
        return record or _run(cell, store, None), record is not None
    if not record:
        with store.locked(f"run-{cell.run_id}", what=cell.label, wait=wait):
            # Another process may have finished it meanwhile; members of a team are all at work.
            found = store.record(cell.folder) if team.size() == 1 else None
            return (found, True) if found else (_begin(cell, store), False)
    if cell.config["tracker"].get("resend"):
        send_again(cell, store, record)
    return record, True


def _begin(cell: Cell, store: Store) -> dict[str, Any]:
    command = command_of(cell.config["method"]["card"]["name"])
    with under_way(store.root / cell.folder, command), tracking(cell, store) as tracker:
        record = _run(cell, store, tracker.curve)
        tracker.finish(record, store.root / cell.folder)
    return record


def _run(cell: Cell, store: Store, curve: Curve | None) -> dict[str, Any]:
    from fsig_bench.record import make_record, write_pictures

    method = build_method(cell)
    state, adapt_s = adapt(cell, method, store, curve)
    fake, sample_s = sample(cell, method, state, store)
    if team.rank() > 0:  # the first scores and writes
        team.meet()
        made = store.record(cell.folder)
        if made is None:
            raise RuntimeError(f"{cell.label}: the first process left no record; see its message")
        return made
    fake = fake[: cell.scored]
    began = time.perf_counter()
    values, evidence = score(cell, fake, store)
    score_s = time.perf_counter() - began
    rebuilt = None
    if hasattr(method, "reconstruct"):
        from fsig_bench.reconstruct import reconstruct

        rebuilt = reconstruct(cell, store, evidence)
    folder = store.root / cell.folder
    folder.mkdir(parents=True, exist_ok=True)
    pictures = write_pictures(folder, cell, evidence, store)
    notes = notes_of(method, state)
    record = make_record(
        cell,
        state=state,
        notes=notes,
        nfe_per_image=notes.get("nfe_per_image", method.nfe_per_image),
        metrics=values,
        timing_s={"adapt": adapt_s, "sample": sample_s, "score": score_s},
        peak_mem_gib=peak_mem_gib(),
        pixels=pixels_sha256(fake),
        pictures=pictures,
        reconstruction=rebuilt,
    )
    write_record(folder / "record.json", record)
    team.meet()
    console.print(f"record {folder / 'record.json'}")
    return read_record(folder / "record.json")


def peak_mem_gib() -> float:
    """Peak resident memory of this process; on a GPU, its peak allocation instead."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
