"""Looks through a results folder: what is damaged, and what no record needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor

from fsig_bench.api.images import pixels_sha256_of_parts
from fsig_bench.store.files import read_tensors
from fsig_bench.store.lock import is_held
from fsig_bench.store.records import read_record
from fsig_bench.store.shards import shard_ranges, stored_range
from fsig_bench.store.store import Store

Piece = tuple[Path, str]  # a file, and what is wrong with it


def damaged_files(store: Store) -> Iterator[Piece]:
    """Every state, checkpoint, shard, feature file and record that is not what was written.

    A record must also fit its shards: its `pixels_sha256` is computed again from them.
    """
    bad: set[Path] = set()
    for path in sorted((store.root / "store").rglob("*.safetensors")):
        try:
            read_tensors(path)
        except (ValueError, OSError) as error:
            bad.add(path)
            yield path, f"damaged ({error})"
    for path in sorted((store.root / "runs").rglob("record.json")):
        try:
            record = read_record(path)
        except (ValueError, OSError) as error:
            yield path, f"damaged ({error})"
            continue
        if path.parent.name.rsplit("-", 1)[-1] != record["run_id"]:
            yield path, f"of another run ({record['run_id']})"
        elif not pixels_match(record, store, bad):
            yield path, "its shards hold other pixels than were scored"


def pixels_match(record: dict[str, object], store: Store, bad: set[Path]) -> bool:
    """Whether the shards of a record give its digest; true where they are gone or damaged."""
    stages, asked = record.get("stages") or {}, record["num_images"]
    assert isinstance(stages, dict) and isinstance(asked, int)
    key, config = str(stages.get("sample", "")), record["config"]
    assert isinstance(config, dict)
    metrics = record["metrics"]
    assert isinstance(metrics, dict)
    counts = {int(m["n_fake"]) for m in metrics.values() if m.get("n_fake")}
    count = max(counts, default=asked)
    size = suite.get("shard_size") if isinstance(suite := config.get("suite"), dict) else None
    if not isinstance(size, int) or size < 1 or not key:
        return True
    found = [stored_range(store, key, r, size) for r in shard_ranges(asked, size)]
    paths = [store.shard_path(key, *r) for r in found if r is not None]
    if len(paths) < len(found) or bad.intersection(paths):
        return True
    parts = (read_tensors(path)[0]["images"] for path in paths)
    return pixels_sha256_of_parts(first_of(parts, count), count=count) == record["pixels_sha256"]


def first_of(parts: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """Images in parts, the first `count` of them."""
    left = count
    for part in parts:
        yield part[:left]
        left -= len(part)
        if left <= 0:
            return


def unreferenced_files(store: Store, *, shared: bool = False) -> Iterator[Piece]:
    """Stages of no record, checkpoints of runs that ended, temporary files; nothing in use.

    Features stay, since they belong to many runs, and so does shared work, unless `shared` gives
    it up: no finished run needs it, but the next one would make it again.
    """
    for path in sorted((store.root / "store" / "shared").glob("[!.]*")) if shared else ():
        if not is_held(store.lock_path(f"shared-{path.stem}")):
            yield path, f"shared work ({path.stat().st_size / 2**20:.1f} MiB)"
    needed: dict[str, set[str]] = {"adapt": set(), "sample": set()}
    for path in sorted((store.root / "runs").rglob("record.json")):
        stages = read_record(path).get("stages", {})
        for stage in needed:
            needed[stage].add(str(stages.get(stage, ""))[:16])
    for stage, keys in needed.items():
        for folder in sorted(p for p in (store.root / "store" / stage).glob("*") if p.is_dir()):
            if folder.name in keys or is_held(store.lock_path(f"{stage}-{folder.name}")):
                continue
            for piece in sorted(folder.iterdir()):
                yield piece, f"of no finished run ({piece.stat().st_size / 2**20:.1f} MiB)"
    for part in ("store", "runs"):
        for path in sorted((store.root / part).rglob(".*.tmp")):
            yield path, "left by a process that was killed"
