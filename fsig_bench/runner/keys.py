"""A key hashes exactly what can change a stage's output.

Not in any key: device, batch size, workers, paths of results, tracker, and the settings that a
method's card declares as speed-only. Code enters by the mark of each class
(`fsig_bench.runner.fingerprint`), weights by their sha256, images by a fingerprint of their
content, any other file or folder among the arguments by all its files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fsig_bench.api.assets import assets_in, is_asset
from fsig_bench.api.digests import sha256_once
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.api.weights import locate, manifest_entry
from fsig_bench.data.folder import folder_digest
from fsig_bench.runner.fingerprint import mark
from fsig_bench.store.keys import NOT_IN_KEY, STAGE_VERSION, digest


def key_content(node: object, *, code: bool = True) -> object:
    """A YAML value without what cannot change its output.

    Weights, files and folders enter by their content, classes with the mark of their code.

    Args:
        node: the value.
        code: whether the marks are part of it.
    """
    if is_asset(node):
        return {"sha256": assets_in(node)[0].digest}
    if isinstance(node, Mapping):
        out = {k: _argument(k, v, code=code) for k, v in node.items() if k not in NOT_IN_KEY}
        target = node.get("_target_")
        if code and isinstance(target, str) and (own := mark(target)) is not None:
            out["_code_"] = own
        return out
    return [key_content(v, code=code) for v in node] if isinstance(node, list | tuple) else node


def _argument(name: str, value: object, *, code: bool) -> object:
    if not isinstance(value, str):
        return key_content(value, code=code)
    if name == "weights":
        return manifest_entry(value)["sha256"]
    if name == "files":
        return folder_digest(value)[0]
    if name == "path":
        return files_digest(value)
    if name != "_target_" and is_path(name, value):
        return files_digest(locate(value))
    return value


# Words of an argument's name that say that a value without a slash is a path all the same.
PATH_WORDS = frozenset("path file folder dir directory weights checkpoint ckpt model".split())


def is_path(name: str, value: str) -> bool:
    """Whether an argument's value is meant as a path and something is there.

    It is if it holds a slash, starts with ~ or names a file with a suffix, or if the argument's
    name says so.
    """
    meant = "/" in value or value.startswith("~") or "." in value.strip(".")
    if not value or not (meant or PATH_WORDS & set(name.lower().split("_"))):
        return False
    try:
        return locate(value).exists()
    except OSError:  # longer than a path can be
        return False


def paths_in(node: object, name: str = "") -> list[str]:
    """Every value below a YAML value that is a path to something there."""
    if isinstance(node, Mapping):
        return [p for k, v in node.items() if k != "_target_" for p in paths_in(v, str(k))]
    if isinstance(node, list | tuple):
        return [p for v in node for p in paths_in(v, name)]
    return [node] if isinstance(node, str) and is_path(name, node) else []


def without(node: Json, paths: Iterable[str]) -> JsonDict:
    """A YAML mapping without the values at these dotted paths."""
    out = dict(node)
    for path in paths:
        first, _, rest = path.partition(".")
        if rest and isinstance(out.get(first), Mapping):
            out[first] = without(out[first], [rest])
        elif not rest:
            out.pop(first, None)
    return out


def files_digest(path: str | Path) -> str:
    """The sha256 of the names and contents of all files below a folder, or of one file.

    Raises:
        ValueError: there is nothing at the path.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise ValueError(f"path={path}: there is nothing at {root.absolute()}; give another path")
    found = [p for p in sorted(root.rglob("*")) if p.is_file()] if root.is_dir() else [root]
    return digest([[p.name, sha256_once(p)] for p in found])


def weight_files(node: object) -> list[str]:
    """Every path under a key `weights` of a YAML value, at any depth."""
    if isinstance(node, Mapping):
        own = [node["weights"]] if isinstance(node.get("weights"), str) else []
        return own + [p for k, v in node.items() if k != "weights" for p in weight_files(v)]
    return [p for v in node for p in weight_files(v)] if isinstance(node, list) else []


def precision_part(policy: str) -> list[str]:
    """What a floating-point policy adds to a key; fp32 adds nothing."""
    return [] if policy == "fp32" else [policy]


def images_key(fingerprint: str, marks: list[list[str]]) -> str:
    """The fingerprint of a dataset's images, with the marks of the code that makes them."""
    return digest([fingerprint, marks]) if marks else fingerprint


def adapt_key(
    *,
    method: Json,
    shots: str | None,
    seed: int | None,
    precision: str,
    code: bool = True,
) -> str:
    """The key of a state.

    Args:
        method: the method's arguments without `sample` and without those that change speed only.
        shots: the fingerprint of the shots; None for a method that does not use them.
        seed: the run's seed; None for a method that does not use it.
        precision: the policy of adapting.
        code: whether the code is part of the key.
    """
    parts = [key_content(method, code=code), shots, seed, *precision_part(precision)]
    return digest([STAGE_VERSION, "adapt", *parts])


def sample_key(
    *,
    adapt_key: str,
    sample: object,
    draw: int | None,
    resolution: int,
    shard_size: int,
    precision: str,
    code: bool = True,
) -> str:
    """The key of the samples of a state.

    Args:
        adapt_key: the state's key.
        sample: the method's argument of that name, a YAML value or None.
        draw: the run's draw seed; None for a method whose images are the same for every one.
        resolution: pixels.
        shard_size: images in a shard: batches start at its edges.
        precision: the policy of sampling.
        code: whether the code is part of the key.
    """
    parts = [key_content(sample, code=code), draw, resolution, shard_size]
    return digest([STAGE_VERSION, "sample", adapt_key, *parts, *precision_part(precision)])


def run_id(
    *,
    sample_key: str,
    num_images: int,
    protocol: Json,
    shots: str,
    reference: str | None,
    dataset: str,
    suite: str,
    seed: int,
    draw: int,
    borrowed_by: list[list[str]],
    precision: str = "fp32",
    code: bool = True,
) -> str:
    """The ten digits that name a record.

    `borrowed_by` holds the marks of the method's classes where other code made its samples,
    `precision` the policy of scoring.
    """
    scored = {
        "num_images": num_images,
        "protocol": key_content(protocol, code=code),
        "shots": shots,
        "reference": reference,
        "dataset": dataset,
        "suite": suite,
        "seed": seed,
        "draw": draw,
        "borrowed_by": borrowed_by,
    }
    return digest([STAGE_VERSION, sample_key, scored, *precision_part(precision)])[:10]


def protocol_hash(*, protocol: Json, num_scored: int, precision: str = "fp32") -> str:
    """The eight digits that name the rules of a number; `precision` is the policy of scoring."""
    return digest([key_content(protocol), num_scored, *precision_part(precision)])[:8]
