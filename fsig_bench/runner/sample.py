"""A sampler's images as shards on disk: by index range, in batches, processes or a team."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from fsig_bench.api import process
from fsig_bench.api.images import to_uint8
from fsig_bench.api.stopping import stop_if_asked
from fsig_bench.api.types import Method, Sampler, State
from fsig_bench.console import Bar, console
from fsig_bench.runner.build import build_method, computing, sampler_of
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.distributed import barrier, first_decides
from fsig_bench.runner.fingerprint import marks
from fsig_bench.store.shards import missing_ranges, shard_ranges, stored_images
from fsig_bench.store.shared import SharedWork
from fsig_bench.store.store import Store


def make_shard(
    cell: Cell, sampler: Sampler, store: Store, start: int, end: int, shared: SharedWork
) -> None:
    """Draws [start, end) in batches that start at the shard's edge.

    Where the device runs out of memory the batch is halved, with a message: image i stays the
    same up to rounding.
    """
    began, size = time.perf_counter(), min(cell.place.batch_size, end - start)
    borrowed_s = shared.borrowed_s
    parts: list[Tensor] = []
    a = start
    while a < end:
        stop_if_asked()
        try:
            with computing(cell.place, shared.precision):
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
    wall_s = time.perf_counter() - began + shared.borrowed_s - borrowed_s
    store.save_shard(cell.sample_key, start, torch.cat(parts), wall_s)


def shared_work(cell: Cell, store: Store) -> SharedWork:
    """What a cell's sampler may share with other runs."""
    return SharedWork(store, cell.precision.sample, marks(cell.method.spec))


def _worker(cell: Cell, root: str, ranges: list[tuple[int, int]], threads: int) -> None:
    torch.set_num_threads(threads)
    store = Store(root)
    method = build_method(cell.method, cell.place)
    found = store.load_state(cell.adapt_key)
    assert found is not None  # the parent has adapted
    shared = shared_work(cell, store)
    with computing(cell.place, shared.precision):
        sampler = sampler_of(method, found[0], draw=cell.draw, shared=shared)
    for start, end in ranges:
        make_shard(cell, sampler, store, start, end, shared)


def sample(
    cell: Cell, method: Method, state: State, store: Store, *, wait: bool = True
) -> tuple[Tensor, float]:
    """uint8 [num_images, 3, h, w] and the seconds they took; only missing shards are drawn.

    Raises:
        Busy: another process draws these samples and `wait` is false.
    """
    if process.rank() > 0:
        return _sample(cell, method, state, store)
    name, what = f"sample-{cell.sample_key[:16]}", f"sample {cell.label}"
    with store.locked(name, what=what, wait=wait):
        return _sample(cell, method, state, store)


def _sample(cell: Cell, method: Method, state: State, store: Store) -> tuple[Tensor, float]:
    count, shard_size = cell.samples.num_images, cell.suite.shard_size
    ranges = shard_ranges(count, shard_size)
    missing = missing_ranges(store, cell.sample_key, count, shard_size)
    stored = first_decides(*(r not in missing for r in ranges))
    missing = [r for r, there in zip(ranges, stored, strict=True) if not there]
    todo = missing[process.rank() :: process.size()]
    if todo:
        ready = count - sum(end - start for start, end in todo)
        with Bar(f"sample {cell.label}", count, "images") as bar:
            bar.resume_at(ready)
            workers = min(cell.place.workers, len(todo))
            if workers == 1:
                shared = shared_work(cell, store)
                with computing(cell.place, shared.precision):
                    sampler = sampler_of(method, state, draw=cell.draw, shared=shared)
                for start, end in todo:
                    make_shard(cell, sampler, store, start, end, shared)
                    bar.update(bar.done + end - start)
            else:
                _sample_in_processes(cell, store, todo, workers)
                bar.update(bar.total)
    barrier()
    return stored_images(store, cell.sample_key, count=count, size=shard_size)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes that start meanwhile never see Ctrl-C, which a terminal sends to all of them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _sample_in_processes(
    cell: Cell, store: Store, todo: list[tuple[int, int]], workers: int
) -> None:
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()  # the same in every worker: the same kernels, the same bytes
    jobs = [
        context.Process(target=_worker, args=(cell, str(store.root), todo[w::workers], threads))
        for w in range(workers)
    ]
    with without_interrupts():
        for job in jobs:
            job.start()
    try:
        for job in jobs:
            while job.is_alive():
                job.join(0.5)
                stop_if_asked()
    except BaseException:  # Ctrl-C or the scheduler: the workers end, whole shards stay
        for job in jobs:
            job.terminate()
        for job in jobs:
            job.join()
        raise
    if bad := [job.exitcode for job in jobs if job.exitcode]:
        raise RuntimeError(
            f"{len(bad)} of {workers} sampling workers stopped (exit {bad[0]}); run again"
        )
