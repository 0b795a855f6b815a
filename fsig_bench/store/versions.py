"""Which versions of the numerical libraries made a piece, and whether they are those of today."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DECISIVE = ("torch", "diffusers")  # their releases may change rounding and networks


@cache
def made_with() -> str:
    """Names with major and minor version, as "torch 2.8, diffusers 0.35"."""
    return ", ".join(f"{name} {_short(name)}" for name in DECISIVE)


def _short(name: str) -> str:
    try:
        return ".".join(version(name).split(".")[:2])
    except PackageNotFoundError:
        return "none"


_reported: set[tuple[Path, str]] = set()


def report_versions(path: Path, metadata: Mapping[str, str]) -> None:
    """Prints, once a folder, that a piece is reused which other versions made."""
    then, now = metadata.get("made_with", made_with()), made_with()
    if then == now or (path.parent, then) in _reported:
        return
    from fsig_bench.console import console

    _reported.add((path.parent, then))
    console.print(
        f"reused from {path.parent}: made with {then}, here is {now}; numbers may differ in the "
        "last digits. Delete the folder to make it again",
    )
