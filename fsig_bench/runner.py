"""One run: adapt, sample, score. Each stage is looked up by its key before it is done."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor

from fsig_bench import team
from fsig_bench.console import Bar, StageProgress, console
from fsig_bench.images import pixels_sha256, to_float, to_uint8
from fsig_bench.placing import placed, precise, resolve_device, tuned
from fsig_bench.scoring import score
from fsig_bench.settings import Cell
from fsig_bench.status import command_of, under_way
from fsig_bench.store import Store, read_record, write_record
from fsig_bench.types import State


def build_method(cell: Cell) -> Any:
    """The method of a cell, from its `_target_`."""
    spec = {k: v for k, v in cell.config["method"].items() if k != "card"}
    method = instantiate(placed(spec, resolve_device(cell.config["device"])), _convert_="all")
    return tuned(method, cell.config)


def adapt(cell: Cell, method: Any, store: Store) -> tuple[State, float]:
    """The state and the seconds it took, from the store or made now; in a team, by those who can.

    Every member leaves with the state as it was stored.
    """
    found = store.load_state(cell.adapt_key)
    team.meet()  # all have looked: from here on they do the same
    if found:
        return found
    if team.rank() > 0:
        return _adapt(cell, method, store)
    with store.locked(f"adapt-{cell.adapt_key[:16]}", what=f"adapt {cell.label}"):
        if team.size() == 1 and (found := store.load_state(cell.adapt_key)):
            return found  # another process has made it meanwhile
        return _adapt(cell, method, store)


def _adapt(cell: Cell, method: Any, store: Store) -> tuple[State, float]:
    config = cell.config
    if team.rank() == 0 or getattr(method, "adapts_in_team", False):
        shots = to_float(cell.dataset.shots(config["k"], config["subset"]))
        with Bar(f"adapt {cell.label}", 1, "steps") as bar:
            progress = StageProgress(store, cell.adapt_key, bar, config["checkpoint_s"])
            with precise(config["precision"]["adapt"], resolve_device(config["device"])):
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


def shard_ranges(count: int, size: int) -> list[tuple[int, int]]:
    """Whole shards that cover `count` images: batches never depend on how many are asked for."""
    return [(a, a + size) for a in range(0, count, size)]


def make_shard(cell: Cell, sampler: Any, store: Store, start: int, end: int) -> None:
    """Draws [start, end) in batches that start at the shard's edge.

    Where the device runs out of memory the batch is halved, and said so: image i stays the same up
    to rounding.
    """
    began, size = time.perf_counter(), min(cell.config["batch_size"], end - start)
    parts: list[Tensor] = []
    a = start
    while a < end:
        try:
            with precise(cell.config["precision"]["sample"], resolve_device(cell.config["device"])):
                images = sampler(range(a, min(a + size, end))).float()
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            console.print(
                f"out of memory: batches of {size} images from image {a} on; batch_size={size} "
                "spares the attempt"
            )
            continue
        try:
            parts.append(to_uint8(images))
        except ValueError as error:
            raise ValueError(
                f"{cell.label}, images {a} to {min(a + size, end)}: {error}"
            ) from error
        a += len(images)
    store.save_shard(cell.sample_key, start, torch.cat(parts), time.perf_counter() - began)


def _worker(cell: Cell, root: str, ranges: list[tuple[int, int]], threads: int) -> None:
    torch.set_num_threads(threads)
    store = Store(root)
    method = build_method(cell)
    found = store.load_state(cell.adapt_key)
    assert found is not None  # the parent has adapted
    sampler = method.sampler(found[0])
    for start, end in ranges:
        make_shard(cell, sampler, store, start, end)


def sample(cell: Cell, method: Any, state: State, store: Store) -> tuple[Tensor, float]:
    """uint8 [num_images, 3, h, w] and the seconds they took; only missing shards are drawn."""
    if team.rank() > 0:
        return _sample(cell, method, state, store)
    with store.locked(f"sample-{cell.sample_key[:16]}", what=f"sample {cell.label}"):
        return _sample(cell, method, state, store)


def _sample(cell: Cell, method: Any, state: State, store: Store) -> tuple[Tensor, float]:
    config = cell.config
    count = config["num_images"]
    ranges = shard_ranges(count, config["suite"]["shard_size"])
    todo = [r for r in ranges if not store.shard_path(cell.sample_key, *r).exists()]
    team.meet()
    todo = todo[team.rank() :: team.size()]
    if todo:
        ready = (len(ranges) - len(todo)) * config["suite"]["shard_size"]
        with Bar(
            f"sample {cell.label}", len(ranges) * config["suite"]["shard_size"], "images"
        ) as bar:
            bar.resume_at(ready)
            workers = min(config["workers"], len(todo))
            if workers == 1:
                sampler = method.sampler(state)
                for n, (start, end) in enumerate(todo):
                    make_shard(cell, sampler, store, start, end)
                    bar.update(ready + (n + 1) * config["suite"]["shard_size"])
            else:
                _sample_in_processes(cell, store, todo, workers)
                bar.update(bar.total)
    team.meet()
    shards = [store.load_shard(cell.sample_key, *r) for r in ranges]
    wall_s = sum(w for _, w in shards) * count / ranges[-1][1]
    return torch.cat([images for images, _ in shards])[:count], wall_s


def _sample_in_processes(
    cell: Cell, store: Store, todo: list[tuple[int, int]], workers: int
) -> None:
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()  # the same in every worker: the same kernels, the same bytes
    jobs = [
        context.Process(target=_worker, args=(cell, str(store.root), todo[w::workers], threads))
        for w in range(workers)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if bad := [job.exitcode for job in jobs if job.exitcode]:
        raise RuntimeError(
            f"{len(bad)} of {workers} sampling workers stopped (exit {bad[0]}); run again"
        )


def run(cell: Cell, store: Store, *, wait: bool = True) -> tuple[dict[str, Any], bool]:
    """The record of a cell, and whether it was already there.

    Raises:
        Busy: another process is at this run and `wait` is false.
    """
    record = store.record(cell.folder)
    team.meet()
    if record:
        return record, True
    if team.rank() > 0:
        return _run(cell, store), False
    with store.locked(f"run-{cell.run_id}", what=cell.label, wait=wait):
        if team.size() == 1 and (record := store.record(cell.folder)):
            return record, True  # another process has finished it meanwhile
        with under_way(store.root / cell.folder, command_of(cell.config["method"]["card"]["name"])):
            return _run(cell, store), False


def _run(cell: Cell, store: Store) -> dict[str, Any]:
    from fsig_bench.record import make_record, write_pictures

    method = build_method(cell)
    state, adapt_s = adapt(cell, method, store)
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
    record = make_record(
        cell,
        state=state,
        nfe_per_image=state.meta.get("nfe_per_image", method.nfe_per_image),
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
