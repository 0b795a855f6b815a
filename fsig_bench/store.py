"""What a run leaves on disk: state, uint8 shards, features, record. All writes are atomic.

<results_dir>/store/adapt/<key>/    state.safetensors, checkpoint.safetensors, curve.jsonl
<results_dir>/store/sample/<key>/   000000-000050.safetensors ...
<results_dir>/store/features/       features, by content of the images and network
<results_dir>/store/shared/         what methods make whatever the shots, by what determines it
<results_dir>/store/locks/          who writes what; see fsig_bench.lock
<results_dir>/runs/...              record.json and pictures; status.json while there is no record

A stage's folder is named by its key, so runs that differ only later in the flow share it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsig_bench.assets import write_safetensors
from fsig_bench.lock import locked

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.types import State

VERSION_1 = {"content", "wall_s", "state", "done"}  # metadata of files without a seal


def write_json(path: Path, value: Any) -> None:
    """Writes JSON by rename, so a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w") as file:
            file.write(json.dumps(value, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def seal(values: Mapping[str, Any]) -> str:
    """Digest of plain values, whatever their order."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file of the store, checked against the digest that it carries.

    Raises:
        ValueError: the file is damaged; it is named, with the remedy.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "delete it and run the same command again: only this piece is made anew"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            # Cloned: a view into the file lies at any address, and kernels follow alignment.
            tensors = {k: file.get_tensor(k).clone() for k in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    given = metadata.pop("seal", None)
    # Files of version 1 have no seal, and these keys only.
    whole = seal(metadata) == given if given else not set(metadata) - VERSION_1
    if not whole or metadata.get("content") != _content_digest(tensors):
        raise ValueError(f"{path} is damaged: its content is not what was written; {remedy}")
    return tensors, metadata


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors with a digest of their content and one of the metadata."""
    whole = {**metadata, "content": _content_digest(tensors)}
    write_safetensors(path, tensors, whole | {"seal": seal(whole)})


def _content_digest(tensors: Mapping[str, Tensor]) -> str:
    import torch

    head = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        head.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        head.update(t.flatten().view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return head.hexdigest()


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
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe.{os.getpid()}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise OSError(
                f"results_dir={self.root} cannot be written ({error.strerror}); "
                "choose another with results_dir=FOLDER"
            ) from error
        if (free := shutil.disk_usage(self.root).free) < bytes_needed:
            raise OSError(
                f"results_dir={self.root} has {free / 2**20:.0f} MiB free and this run needs "
                f"{bytes_needed / 2**20:.0f} MiB; free some space or choose results_dir=FOLDER"
            )

    def locked(self, name: str, *, what: str, wait: bool = True) -> AbstractContextManager[None]:
        """The lock of a piece of the store; see `fsig_bench.lock.locked`."""
        return locked(self.lock_path(name), what=what, wait=wait)

    def lock_path(self, name: str) -> Path:
        return self.root / "store" / "locks" / f"{name}.lock"

    def adapt_folder(self, key: str) -> Path:
        return self.root / "store" / "adapt" / key[:16]

    def sample_folder(self, key: str) -> Path:
        return self.root / "store" / "sample" / key[:16]

    def load_state(self, key: str) -> tuple[State, float] | None:
        """The adapted state and the seconds it took; None when it is not there yet."""
        path = self.adapt_folder(key) / "state.safetensors"
        if not path.exists():
            return None
        from fsig_bench.types import State

        tensors, metadata = read_tensors(path)
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
        write_tensors(folder / "state.safetensors", state.tensors, metadata)
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)

    def shard_path(self, key: str, start: int, end: int) -> Path:
        return self.sample_folder(key) / f"{start:06d}-{end:06d}.safetensors"

    def save_shard(self, key: str, start: int, images: Tensor, wall_s: float) -> None:
        """uint8 images of the index range from `start`."""
        path = self.shard_path(key, start, start + len(images))
        write_tensors(path, {"images": images}, {"wall_s": f"{wall_s:.3f}"})

    def load_shard(self, key: str, start: int, end: int) -> tuple[Tensor, float]:
        """Images and the seconds they took."""
        tensors, metadata = read_tensors(self.shard_path(key, start, end))
        return tensors["images"], float(metadata["wall_s"])

    def remembered(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """A tensor that is computed once for all runs, by content key."""
        path = self.root / "store" / "features" / f"{key[:24]}.safetensors"
        if not path.exists():
            with self.locked(f"features-{key[:24]}", what="features"):
                if not path.exists():  # another process may have made it meanwhile
                    write_tensors(path, {"value": compute()}, {})
        return read_tensors(path)[0]["value"]

    def shared(self, key: Sequence[Any], compute: Callable[[], Tensor]) -> tuple[Tensor, float]:
        """A method's tensor by the values that determine it, and the seconds that it took."""
        name = hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()[:24]
        path = self.root / "store" / "shared" / f"{name}.safetensors"
        if not path.exists():
            with self.locked(f"shared-{name}", what="shared work"):
                if not path.exists():
                    began = time.perf_counter()
                    value = compute()
                    wall_s = time.perf_counter() - began
                    write_tensors(path, {"value": value}, {"wall_s": f"{wall_s:.3f}"})
        tensors, metadata = read_tensors(path)
        return tensors["value"], float(metadata["wall_s"])

    def record(self, folder: str) -> dict[str, Any] | None:
        """The record of a finished run."""
        path = self.root / folder / "record.json"
        return read_record(path) if path.exists() else None


def read_record(path: Path) -> dict[str, Any]:
    """A record, checked against the seal that it carries (those of version 1 carry none).

    Raises:
        ValueError: it is damaged; the file is named, with the remedy.
    """
    remedy = "delete it and run the same command again: its pieces are in the store"
    try:
        record = json.loads(path.read_bytes())
        given = record.pop("seal", None)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    if given is None and record.get("record_version", 1) == 1 and "run_id" in record:
        return dict(record)
    if seal(record) != given:
        raise ValueError(f"{path} is damaged or was edited; {remedy}")
    return dict(record) | {"seal": given}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a record with its seal."""
    whole = json.loads(json.dumps({k: v for k, v in record.items() if k != "seal"}))
    write_json(path, whole | {"seal": seal(whole)})
