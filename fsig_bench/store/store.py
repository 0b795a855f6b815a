"""What a run leaves on disk: state, uint8 shards, features, record. All writes are atomic.

<results_dir>/store/adapt/<key>/    state.safetensors, checkpoint.safetensors, curve.jsonl
<results_dir>/store/sample/<key>/   000000-000050.safetensors ...
<results_dir>/store/features/       features, by content of the images and network
<results_dir>/store/shared/         what methods make whatever the shots, by what determines it
<results_dir>/store/locks/          who writes what; see fsig_bench.store.lock
<results_dir>/runs/...              record.json and pictures; status.json while there is no record

A stage's folder is named by its key, so runs that differ only later in the flow share it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.files import make_folder
from fsig_bench.api.plain import Json, Record
from fsig_bench.store.files import read_tensors, write_tensors
from fsig_bench.store.lock import locked
from fsig_bench.store.records import usable_record
from fsig_bench.store.versions import made_with, report_versions

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.api.types import State


RUN_NAME = re.compile(r"k[^-]*-seed[^-]*-.*", re.DOTALL)
# What may be part of a path: a record must not lead out of its results folder.
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}")


def run_folder_name(identity: Json, run_id: str) -> str:
    """A run's folder below the results folder.

    Args:
        identity: suite, method, dataset, k, seed (a record will do; more is passed over).
        run_id: the ten digits that name the run.
    """
    head = "/".join(str(identity[part]) for part in ("suite", "method", "dataset"))
    return f"runs/{head}/k{identity['k']}-seed{identity['seed']}-{run_id}"


def parse_run_folder(folder: Path) -> dict[str, str]:
    """The suite, method, dataset, k, seed and run_id that a run's folder is named by."""
    suite, method, dataset, name = folder.parts[-4:]
    k, seed, run_id = name.split("-", 2)
    parts = {"suite": suite, "method": method, "dataset": dataset, "run_id": run_id}
    return parts | {"k": k.removeprefix("k"), "seed": seed.removeprefix("seed")}


def run_folders(root: Path) -> list[Path]:
    """The folders of all runs below a results folder, sorted."""
    level = [str(root / "runs")]
    for _ in range(4):
        below: list[str] = []
        for place in level:
            with suppress(OSError), os.scandir(place) as found:
                below += [entry.path for entry in found if entry.is_dir()]
        level = below
    named = [path for path in level if RUN_NAME.fullmatch(os.path.basename(path))]
    return [Path(path) for path in sorted(named, key=lambda path: path.split(os.sep))]


def holds_runs(root: Path) -> bool:
    """Whether a folder is a results folder with at least one run in it."""
    return next((root / "runs").glob("*/*/*/k*-seed*-*"), None) is not None


def other_results(root: Path) -> list[Path]:
    """The results folders near a results folder, sorted.

    They are those directly inside it, such as `results/smoke` inside `results`, and, if it holds no
    run itself, those that lie next to it.
    """
    near = [*root.glob("*"), *(() if holds_runs(root) else root.parent.glob("*"))]
    own = root.resolve()
    found = {path for path in near if path.resolve() != own and holds_runs(path)}
    return sorted(found)


def shard_place(key: str, start: int, end: int) -> dict[str, str]:
    """What the metadata of a shard must hold; the key stands for state and draw seed."""
    return {"stage": "sample", "key": key, "images": f"{start}-{end}"}


class Store:
    """The results folder."""

    def __init__(self, results_dir: str | Path) -> None:
        self.root = Path(results_dir).expanduser()

    def check_writable(self, bytes_needed: int) -> None:
        """Fails before any work if the folder cannot take the results.

        Raises:
            OSError: not writable or too little space.
        """
        try:
            make_folder(self.root)
            probe = self.root / f".probe.{os.getpid()}.{uuid.uuid4().hex[:8]}"
            probe.write_bytes(b"x")
            probe.unlink(missing_ok=True)
        except OSError as error:
            denied = isinstance(error, PermissionError)
            share = f", or let the group write to it: chmod -R g+ws {self.root}" if denied else ""
            raise OSError(
                f"results_dir={self.root} cannot be written ({error.strerror or 'not permitted'}); "
                f"choose another with results_dir=FOLDER{share}"
            ) from error
        if (free := shutil.disk_usage(self.root).free) < bytes_needed:
            raise OSError(
                f"results_dir={self.root} has {free / 2**20:.0f} MiB free and this run needs "
                f"{bytes_needed / 2**20:.0f} MiB; free some space or choose results_dir=FOLDER"
            )

    def locked(self, name: str, *, what: str, wait: bool = True) -> AbstractContextManager[None]:
        """The lock of a piece of the store; see `fsig_bench.store.lock.locked`."""
        return locked(self.lock_path(name), what=what, wait=wait)

    def lock_path(self, name: str) -> Path:
        return self.root / "store" / "locks" / f"{name}.lock"

    def run_folder(self, record: Record) -> Path | None:
        """The folder that a record's run left; None where it is not there."""
        name = run_folder_name(record, str(record["run_id"]))
        if not all(PLAIN.fullmatch(part) for part in name.split("/")) or name.count("/") != 4:
            return None
        folder = self.root / name
        return folder if folder.is_dir() else None

    def stage_folder(self, record: Record, stage: str) -> Path | None:
        """The folder of a record's "adapt" or "sample" stage; None where it is not there."""
        key = str(record.get("stages", {}).get(stage, ""))
        if not PLAIN.fullmatch(key):
            return None
        folder = {"adapt": self.adapt_folder, "sample": self.sample_folder}[stage](key)
        return folder if folder.is_dir() else None

    def adapt_folder(self, key: str) -> Path:
        return self.root / "store" / "adapt" / key[:16]

    def sample_folder(self, key: str) -> Path:
        return self.root / "store" / "sample" / key[:16]

    def load_state(self, key: str) -> tuple[State, float] | None:
        """The adapted state and the seconds it took; None when it is not there yet."""
        path = self.adapt_folder(key) / "state.safetensors"
        if not path.exists():
            return None
        from fsig_bench.api.types import State

        tensors, metadata = read_tensors(path, {"stage": "adapt", "key": key})
        report_versions(path, metadata)
        plain = json.loads(metadata["state"])
        return State(tensors=tensors, **plain), float(metadata["wall_s"])

    def save_state(self, key: str, state: State, wall_s: float) -> None:
        """Keeps the state and drops the checkpoint."""
        plain = {
            "seed": state.seed,
            "trained_params": state.trained_params,
            "nfe_adapt": state.nfe_adapt,
            "meta": dict(state.meta),
        }
        folder = self.adapt_folder(key)
        metadata = {"state": json.dumps(plain, sort_keys=True), "wall_s": f"{wall_s:.3f}"}
        whole = {"stage": "adapt", "key": key, "made_with": made_with()} | metadata
        write_tensors(folder / "state.safetensors", state.tensors, whole)
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)

    def shard_path(self, key: str, start: int, end: int) -> Path:
        return self.sample_folder(key) / f"{start:06d}-{end:06d}.safetensors"

    def save_shard(self, key: str, start: int, images: Tensor, wall_s: float) -> None:
        """uint8 images of the index range from `start`."""
        path = self.shard_path(key, start, start + len(images))
        metadata = {"wall_s": f"{wall_s:.3f}", "made_with": made_with()}
        place = shard_place(key, start, start + len(images))
        write_tensors(path, {"images": images}, place | metadata)

    def load_shard(self, key: str, start: int, end: int) -> tuple[Tensor, float]:
        """Images and the seconds they took."""
        path = self.shard_path(key, start, end)
        # Records up to version 2 hold 16 digits of a key, and their pieces do not know their place.
        place = shard_place(key, start, end) if len(key) > 16 else None
        tensors, metadata = read_tensors(path, place)
        report_versions(path, metadata)
        return tensors["images"], float(metadata["wall_s"])

    def cached_features(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """A tensor that is computed once for all runs, by content key."""
        path = self.root / "store" / "features" / f"{key[:24]}.safetensors"
        place = {"stage": "features", "key": key}
        if not path.exists():
            with self.locked(f"features-{key[:24]}", what="features"):
                if not path.exists():  # another process may have made it meanwhile
                    write_tensors(path, {"value": compute()}, place | {"made_with": made_with()})
        return read_tensors(path, place)[0]["value"]

    def shared(self, key: Sequence[object], compute: Callable[[], Tensor]) -> tuple[Tensor, float]:
        """A method's tensor by the values that determine it, and the seconds that it took."""
        whole = hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()
        name, place = whole[:24], {"stage": "shared", "key": whole}
        path = self.root / "store" / "shared" / f"{name}.safetensors"
        if not path.exists():
            with self.locked(f"shared-{name}", what="shared work"):
                if not path.exists():
                    began = time.perf_counter()
                    value = compute()
                    wall_s = time.perf_counter() - began
                    metadata = {"wall_s": f"{wall_s:.3f}", "made_with": made_with()}
                    write_tensors(path, {"value": value}, place | metadata)
        tensors, metadata = read_tensors(path, place)
        return tensors["value"], float(metadata["wall_s"])

    def record(self, folder: str) -> Record | None:
        """The record of a finished run; one that cannot be used is named and counts as none."""
        return usable_record(self.root / folder / "record.json")
