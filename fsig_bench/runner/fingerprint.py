"""The code that a result depends on, as a key holds it: a locked version, or a fingerprint.

The fingerprint of a class is a digest of its import closure (`fsig_bench.runner.imports`).
versions.json beside the code locks a class: version and fingerprint. As long as the present
fingerprint is the locked one, keys hold the version, and the words "baselines.crdi.CRDI version 2"
name one behaviour. Once it differs, keys hold the fingerprint, so that work in progress always runs
anew. `fsig-bench check method=NAME accept=true` locks again (`fsig_bench.runner.golden`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fsig_bench.api.digests import FileState, file_state
from fsig_bench.api.places import ROOT
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.runner.imports import closure, is_counted
from fsig_bench.runner.source_files import OURS, module_file, read_source
from fsig_bench.runner.targets import named_targets

LOCKS = "versions.json"


@dataclass(frozen=True)
class Code:
    """A class's closure as it is now."""

    target: str  # the class's dotted path
    fingerprint: str  # 16 hex digits
    files: Mapping[str, str]  # module -> 16 hex digits


@dataclass(frozen=True)
class Lock:
    """What versions.json says of a class."""

    version: int
    fingerprint: str


_known: dict[str, tuple[tuple[FileState, ...], Code]] = {}  # by target, for this process


def code_of(target: str) -> Code:
    """The closure of a class as it is now; read again only where a file of it has changed.

    Raises:
        ValueError: Python finds no such module, or a file of the closure is no Python code.
    """
    if target in _known:
        states, code = _known[target]
        if all(map(_is_as_before, states)):
            return code
    found = closure(target)
    files = {module: read_source(file).digest for module, file in found.items()}
    text = json.dumps(files, sort_keys=True)
    code = Code(target, hashlib.sha256(text.encode()).hexdigest()[:16], files)
    _known[target] = tuple(map(file_state, found.values())), code
    return code


def _is_as_before(state: FileState) -> bool:
    try:
        return file_state(Path(state.path)) == state
    except OSError:
        return False


def lock_file(target: str) -> Path:
    """Where a class is locked: in its top package's folder, or beside a module of its own."""
    top = target.split(".")[0]
    if top in OURS:
        return ROOT / top / LOCKS
    file = module_file(top)
    if file is None:  # a package without __init__.py
        first = module_file(".".join(target.split(".")[:2]))
        return (first.parent if first else Path()) / LOCKS
    return file.parent / LOCKS


def read_locks(file: Path) -> JsonDict:
    """The content of a versions.json; an empty one where there is none.

    Raises:
        ValueError: it cannot be read.
    """
    if not file.is_file():
        return {"classes": {}, "golden": {}}
    return _read_locks(file_state(file))


@lru_cache(maxsize=64)
def _read_locks(state: FileState) -> JsonDict:
    file = Path(state.path)
    try:
        found = json.loads(file.read_bytes())
        return {"classes": dict(found["classes"]), "golden": dict(found["golden"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} holds no locks ({error!r}); restore it (git checkout)") from error


def lock_of(target: str) -> Lock | None:
    """A class's lock, if it has one."""
    entry = read_locks(lock_file(target))["classes"].get(target)
    return None if entry is None else Lock(int(entry["version"]), str(entry["fingerprint"]))


def mark(target: str) -> str | None:
    """What a key holds for the code of a class: "version 2" or a fingerprint.

    None for a library's class: records state the library's version.
    """
    if not is_counted(target):
        return None
    code, lock = code_of(target), lock_of(target)
    if lock is not None and lock.fingerprint == code.fingerprint:
        return f"version {lock.version}"
    return code.fingerprint


def targets_in(node: object) -> list[str]:
    """Every counted class that a YAML value names by `_target_`, each once, sorted."""
    return sorted({target for target in named_targets(node) if is_counted(target)})


def marks(node: object) -> list[list[str]]:
    """[class, mark] of every counted class that a YAML value names."""
    return [[target, str(mark(target))] for target in targets_in(node)]


def recorded_code(node: object) -> JsonDict:
    """What a record says of the code: classes with mark and fingerprint, and files' digests."""
    codes = [code_of(target) for target in targets_in(node)]
    files: dict[str, str] = {}
    for code in codes:
        files |= code.files
    return {
        "classes": {
            c.target: {"mark": mark(c.target), "fingerprint": c.fingerprint} for c in codes
        },
        "files": dict(sorted(files.items())),
    }


def changed_files(recorded: Json) -> list[str]:
    """The modules of a record's code that differ from today's, or are gone, sorted."""
    found = []
    for module, digest in recorded.get("files", {}).items():
        named = all(part.isidentifier() for part in module.split("."))
        file = module_file(module) if named else None
        if file is None:
            found.append(f"{module} (gone)")
        elif read_source(file).digest != digest:
            found.append(module)
    return sorted(found)
