"""One run: adapt, sample, score. Each stage is looked up by its key before it is done."""

from __future__ import annotations

import time
from pathlib import Path

from fsig_bench.api import process
from fsig_bench.api.files import make_folder
from fsig_bench.api.images import pixels_sha256
from fsig_bench.api.plain import Json, Record
from fsig_bench.api.types import Reconstructs
from fsig_bench.console import stage_line
from fsig_bench.runner.adapt import Curve, adapt
from fsig_bench.runner.build import build_method, computing, notes_of
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.device import peak_mem_gib, resolve_device
from fsig_bench.runner.distributed import barrier, first_decides, recorded
from fsig_bench.runner.sample import sample
from fsig_bench.runner.score import build_metrics, score
from fsig_bench.store.records import read_record, recorded_settings, write_record
from fsig_bench.store.status import record_status, typed_command
from fsig_bench.store.store import Store
from fsig_bench.trackers.base import TrackedRun, tracking


def run(cell: Cell, store: Store, *, wait: bool = True) -> tuple[Record, bool]:
    """The record of a cell, and whether it was already there.

    Raises:
        Busy: another process works on this run, or on a stage that it needs, and `wait` is false.
    """
    record = store.record(cell.folder)
    (finished,) = first_decides(record is not None)
    if process.rank() > 0:
        return recorded(cell, store) if finished else _run(cell, store, None), finished
    if not record:
        with store.locked(f"run-{cell.run_id}", what=cell.label, wait=wait):
            # Another process may have finished it meanwhile; members of a team are all at work.
            found = store.record(cell.folder) if process.size() == 1 else None
            return (found, True) if found else (_begin(cell, store, wait=wait), False)
    if cell.policy.tracker.get("resend"):
        with tracking(*tracked(cell, store)) as tracker:
            tracker.finish(record, store.root / cell.folder)
    return record, True


def tracked(cell: Cell, store: Store) -> tuple[TrackedRun, Json, Path]:
    """The arguments of `tracking` for a cell."""
    run = TrackedRun(
        run_id=cell.run_id,
        identity=cell.identity,
        kind=cell.method.kind,
        settings=recorded_settings(cell.config),
        protocol_hash=cell.protocol_hash,
        folder=cell.folder,
    )
    curve_file = store.adapt_folder(cell.adapt_key) / "curve.jsonl"
    return run, cell.policy.tracker, curve_file


def _begin(cell: Cell, store: Store, *, wait: bool) -> Record:
    command = typed_command(cell.method.name)
    with (
        record_status(store.root / cell.folder, command),
        tracking(*tracked(cell, store)) as tracker,
    ):
        record = _run(cell, store, tracker.curve, wait=wait)
        tracker.finish(record, store.root / cell.folder)
    return record


def _run(cell: Cell, store: Store, curve: Curve | None, *, wait: bool = True) -> Record:
    from fsig_bench.console import console
    from fsig_bench.runner.pictures import write_pictures
    from fsig_bench.runner.record import make_record
    from fsig_bench.runner.source_distance import source_distance

    method = build_method(cell.method, cell.place)
    build_metrics(cell.protocol.metrics)  # a wrong setting is named before hours of work
    far = source_distance(cell, store) if process.rank() == 0 else None
    if far and "remark" in far:
        console.print(f"note: {far['remark']}", markup=False)
    state, adapt_s = adapt(cell, method, store, curve=curve, wait=wait)
    fake, sample_s = sample(cell, method, state, store, wait=wait)
    if process.rank() > 0:  # the first scores and writes
        barrier()
        return recorded(cell, store)
    fake = fake[: cell.samples.num_scored]
    began = time.perf_counter()
    values, evidence = score(cell, fake, store)
    score_s = time.perf_counter() - began
    rebuilt = None
    if isinstance(method, Reconstructs):
        from fsig_bench.runner.reconstruct import reconstruct

        rebuilt = reconstruct(cell, store, evidence, wait=wait)
    folder = store.root / cell.folder
    make_folder(folder)
    with computing(cell.place, cell.precision.score):
        pictures = write_pictures(folder, cell, evidence, store)
    notes = notes_of(method, state)
    if far:
        notes["source_distance"] = far
    record = make_record(
        cell,
        state=state,
        notes=notes,
        nfe_per_image=notes.get("nfe_per_image", method.nfe_per_image),
        metrics=values,
        timing_s={"adapt": adapt_s, "sample": sample_s, "score": score_s},
        peak_mem_gib=peak_mem_gib(resolve_device(cell.place.device)),
        pixels=pixels_sha256(fake),
        pictures=pictures,
        reconstruction=rebuilt,
    )
    write_record(folder / "record.json", record)
    barrier()
    stage_line(f"record {folder / 'record.json'}")
    return read_record(folder / "record.json")
