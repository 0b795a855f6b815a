"""A key hashes exactly what can change a stage's output.

Not in any key: device, batch size, workers, paths of results, tracker. Weights enter by their
sha256, images by a fingerprint of their content, models of the user's own by all their files.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fsig_bench.api.assets import assets_in, is_asset
from fsig_bench.api.weights import manifest_entry, sha256_of
from fsig_bench.data.folder import folder_digest
from fsig_bench.store.keys import NOT_IN_KEY, STAGE_VERSION, digest


def key_content(node: Any) -> Any:
    """A YAML value without what cannot change its output; weights and files by their content."""
    if is_asset(node):
        return {"sha256": assets_in(node)[0].digest}
    if isinstance(node, Mapping):
        out = {k: key_content(v) for k, v in node.items() if k not in NOT_IN_KEY}
        if isinstance(path := node.get("weights"), str):
            out["weights"] = manifest_entry(path)["sha256"]
        if isinstance(path := node.get("files"), str):
            out["files"] = folder_digest(path)[0]
        if isinstance(path := node.get("path"), str):
            out["path"] = files_digest(path)
        return out
    return [key_content(v) for v in node] if isinstance(node, list) else node


def files_digest(path: str) -> str:
    """The sha256 of the names and contents of all files below a folder, or of one file.

    Raises:
        ValueError: there is nothing at the path.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise ValueError(f"path={path}: there is nothing at {root.absolute()}; give another path")
    found = [p for p in sorted(root.rglob("*")) if p.is_file()] if root.is_dir() else [root]
    stamps = [(p, p.stat().st_size, p.stat().st_mtime_ns) for p in found]
    return digest([[p.name, _sha256_at(*stamp)] for p, stamp in zip(found, stamps, strict=True)])


@cache
def _sha256_at(path: Path, size: int, time_ns: int) -> str:
    """The digest of a file, once a process as long as its size and time stay."""
    return sha256_of(path)


def weight_files(node: Any) -> list[str]:
    """Every path under a key `weights` of a YAML value, at any depth."""
    if isinstance(node, Mapping):
        own = [node["weights"]] if isinstance(node.get("weights"), str) else []
        return own + [p for k, v in node.items() if k != "weights" for p in weight_files(v)]
    return [p for v in node for p in weight_files(v)] if isinstance(node, list) else []


def precision_part(policy: str) -> list[str]:
    """What a floating-point policy adds to a key; fp32 adds nothing."""
    return [] if policy == "fp32" else [policy]


def adapt_key(*, method: Mapping[str, Any], shots: str | None, seed: int, precision: str) -> str:
    """The key of a state.

    Args:
        method: the method's arguments without `sample`.
        shots: the fingerprint of the shots; None for a method that does not use them.
        seed: the run's seed.
        precision: the policy of adapting.
    """
    parts = [key_content(method), shots, seed, *precision_part(precision)]
    return digest([STAGE_VERSION, "adapt", *parts])


def sample_key(
    *, adapt_key: str, sample: Any, resolution: int, shard_size: int, precision: str
) -> str:
    """The key of the samples of a state.

    Args:
        adapt_key: the state's key.
        sample: the method's argument of that name, a YAML value or None.
        resolution: pixels.
        shard_size: images in a shard: batches start at its edges.
        precision: the policy of sampling.
    """
    parts = [key_content(sample), resolution, shard_size, *precision_part(precision)]
    return digest([STAGE_VERSION, "sample", adapt_key, parts])


def run_id(
    *,
    sample_key: str,
    num_images: int,
    protocol: Mapping[str, Any],
    shots: str,
    reference: str | None,
    dataset: str,
    suite: str,
) -> str:
    """The ten digits that name a record."""
    scored = {
        "num_images": num_images,
        "protocol": key_content(protocol),
        "shots": shots,
        "reference": reference,
        "dataset": dataset,
        "suite": suite,
    }
    return digest([STAGE_VERSION, sample_key, scored])[:10]


def protocol_hash(*, protocol: Mapping[str, Any], num_scored: int) -> str:
    """The eight digits that name the rules of a number."""
    return digest([key_content(protocol), num_scored])[:8]
