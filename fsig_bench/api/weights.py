"""Weight files that are checked before they are believed.

A folder of weights holds a manifest.json: file name -> sha256, recipe, seed, cost, quality.
Weights are safetensors only; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.digests import sha256_of as sha256_of
from fsig_bench.api.digests import sha256_once
from fsig_bench.api.files import write_bytes
from fsig_bench.api.places import ROOT
from fsig_bench.api.plain import JsonDict

if TYPE_CHECKING:
    from torch import Tensor


def locate(path: str | Path) -> Path:
    """The file behind a path, as an absolute path.

    A relative one is looked for in the current folder first, then where the harness lies.
    """
    given = Path(path).expanduser()
    return given.absolute() if given.is_absolute() or given.exists() else ROOT / given


def manifest_entry(path: str | Path) -> JsonDict:
    """What the manifest beside a weight file says about it.

    Raises:
        FileNotFoundError: the weight file or its entry is missing.
    """
    file = locate(path)
    folder = file if file.is_dir() else file.parent
    if not (folder / "manifest.json").exists() and (folder / "config.json").exists():
        raise FileNotFoundError(
            f"{path} belongs to a model in diffusers' layout, which carries no manifest; a source "
            f"model is chosen by suite/source=diffusers suite.source.path={folder}"
        )
    manifest = file.parent / "manifest.json"
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    if file.name not in entries:
        raise FileNotFoundError(
            f"weights {file.name} are not among those of {manifest} ({', '.join(entries)}); "
            f"python -m baselines.pretrain {file.stem} makes them"
        )
    if not file.exists():
        entry = entries[file.name]
        raise FileNotFoundError(
            f"weights {file} are missing; expected sha256 {entry['sha256']}. "
            f"Restore the file (git checkout) or make it again: {entry['command']}"
        )
    return dict(entries[file.name])


def verified(path: str | Path) -> Path:
    """The weight file, once its bytes have been found to match the manifest.

    Raises:
        FileNotFoundError: the file or its manifest entry is missing.
        ValueError: the file's sha256 is not the manifest's.
    """
    file = locate(path)
    entry = manifest_entry(file)
    if (found := sha256_once(file)) != entry["sha256"]:
        raise ValueError(
            f"weights {file} are corrupt: sha256 {found}, the manifest says {entry['sha256']}. "
            f"Restore the file (git checkout) or make it again: {entry['command']}"
        )
    return file


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> str:
    """Writes tensors whole or not at all, as the same bytes for the same content.

    Returns:
        The sha256 of the file.
    """
    from safetensors.torch import save

    ready = {k: tensors[k].detach().cpu().contiguous() for k in sorted(tensors)}
    data = save(ready, metadata)
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def record_in_manifest(path: Path, entry: JsonDict) -> None:
    """Adds or replaces a weight file's entry in the manifest beside it."""
    manifest = path.parent / "manifest.json"
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    entries[path.name] = entry | {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    write_bytes(manifest, (json.dumps(entries, indent=2, sort_keys=True) + "\n").encode())
