"""One run: adapt, sample, score. Each stage is looked up by its key before it is done."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor

from fsig_bench.console import Bar, StageProgress, console
from fsig_bench.images import pixels_sha256, to_float, to_uint8
from fsig_bench.placing import placed, resolve_device
from fsig_bench.scoring import score
from fsig_bench.settings import Cell
from fsig_bench.store import Store
from fsig_bench.trackers.base import send_again, tracking
from fsig_bench.types import State

Curve = Callable[[int, int, Mapping[str, float]], None]  # done, total, values


def build_method(cell: Cell) -> Any:
    """The method of a cell, from its `_target_`."""
    spec = {k: v for k, v in cell.config["method"].items() if k != "card"}
    return instantiate(placed(spec, resolve_device(cell.config["device"])), _convert_="all")


def adapt(cell: Cell, method: Any, store: Store, curve: Curve | None = None) -> tuple[State, float]:
    """The state and the seconds it took, from the store or made now."""
    if found := store.load_state(cell.adapt_key):
        return found
    config = cell.config
    shots = to_float(cell.dataset.shots(config["k"], config["subset"]))
    with Bar(f"adapt {cell.label}", 1, "steps") as bar:
        progress = StageProgress(store, cell.adapt_key, bar, config["checkpoint_s"], curve)
        state = method.adapt(shots, seed=config["seed"], progress=progress)
        bar.update(bar.total)
        wall_s = progress.wall_s
    store.save_state(cell.adapt_key, state, wall_s)
    return state, wall_s


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
            images = sampler(range(a, min(a + size, end)))
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
    config = cell.config
    count = config["num_images"]
    ranges = shard_ranges(count, config["suite"]["shard_size"])
    todo = [r for r in ranges if not store.shard_path(cell.sample_key, *r).exists()]
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


def run(cell: Cell, store: Store) -> tuple[dict[str, Any], bool]:
    """The record of a cell, and whether it was already there."""
    if record := store.record(cell.folder):
        if cell.config["tracker"].get("resend"):
            send_again(cell, store, record)
        return record, True
    with tracking(cell, store) as tracker:
        record = _run(cell, store, tracker.curve)
        tracker.finish(record, store.root / cell.folder)
    return record, False


def _run(cell: Cell, store: Store, curve: Curve) -> dict[str, Any]:
    from fsig_bench.record import make_record, write_pictures

    method = build_method(cell)
    state, adapt_s = adapt(cell, method, store, curve)
    fake, sample_s = sample(cell, method, state, store)
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
    from fsig_bench.store import write_json

    write_json(folder / "record.json", record)
    console.print(f"record {folder / 'record.json'}")
    return record


def export_png(cell: Cell, store: Store) -> None:
    """Every sample of a finished run as png/000000.png and so on, beside its record."""
    from PIL import Image

    folder = store.root / cell.folder / "png"
    folder.mkdir(parents=True, exist_ok=True)
    count = cell.config["num_images"]
    for start, end in shard_ranges(count, cell.config["suite"]["shard_size"]):
        images, _ = store.load_shard(cell.sample_key, start, end)
        for n, image in enumerate(images[: count - start], start=start):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{n:06d}.png")
    console.print(f"{count} PNG files in {folder}")


def peak_mem_gib() -> float:
    """Peak resident memory of this process; on a GPU, its peak allocation instead."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
