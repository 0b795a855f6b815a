"""Which run stands for a method, and its first images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.report.records import KINDS
from fsig_bench.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor


COLUMNS = 10


def chosen(records: Sequence[Record], dataset: str) -> list[JsonDict]:
    """One record per method, of the lowest seed, methods before controls.

    Raises:
        ValueError: no record is of this dataset.
    """
    own = [r for r in records if r["dataset"] == dataset]
    if not own:
        there = ", ".join(sorted({r["dataset"] for r in records}))
        raise ValueError(f"no record on {dataset!r}; there are records on {there}")
    first = {r["method"]: r for r in sorted(own, key=lambda r: -r["seed"])}
    kind = {m: KINDS[r["config"]["method"]["card"]["kind"]] for m, r in first.items()}
    return [first[m] for m in sorted(first, key=lambda m: (kind[m], m))]


def first_images(record: Record, store: Store, wanted: int = COLUMNS) -> Tensor:
    """The first `wanted` samples of a run, or as many as there are, uint8 [n, 3, h, w].

    Raises:
        ValueError: a shard is damaged, or the record does not say where they are.
        FileNotFoundError: there are none.
    """
    from fsig_bench.store import shards

    size = shards.whole_size(record["config"].get("suite", {}).get("shard_size"))
    folder, count = store.stage_folder(record, "sample"), int(record["num_images"])
    found = None
    if folder is not None:
        key = str(record["stages"]["sample"])
        found = shards.first_images(store, key, wanted, count=count, size=size)
    if found is None:
        raise FileNotFoundError(f"{store.root} has no samples of this run")
    return found


def verified_samples(record: Record, store: Store) -> Tensor:
    """All stored samples of a run, uint8 [n, 3, h, w]; those that were scored come first.

    Raises:
        FileNotFoundError, ValueError: they are not whole, or others than were scored.
    """
    from fsig_bench.api.images import pixels_sha256
    from fsig_bench.runner.checks import samples_to_score
    from fsig_bench.store import shards

    size = shards.whole_size(record["config"]["suite"].get("shard_size"))
    key, count = str(record["stages"]["sample"]), record["num_images"]
    images = shards.stored_images(store, key, count=count, size=size)[0]
    if pixels_sha256(images[: samples_to_score(record["config"])]) != record["pixels_sha256"]:
        run = f"{record['method']}, seed {record['seed']}, run {record['run_id']}"
        raise ValueError(f"the stored samples of {run} are not those that were scored")
    return images
