"""Barriers around the reference: while a method works behind them, every way to it raises."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import fsig_bench.faceworld.render
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.settings import Dataset

WAYS = ("reference_images", "reference_at", "reference_fingerprint", "read_all", "files")


class Peeked(Exception):
    """A method reached for the reference."""


class Attempts(list[str]):
    """What a method tried to look at, in words; a method may swallow the exception."""

    def refuse(self, what: str) -> None:
        """Notes the attempt and raises `Peeked`."""
        self.append(what)
        raise Peeked(f"{what} is out of reach of a method")


def target_names(dataset: Dataset) -> list[str]:
    """What a setting could name the target by: its name, its domain, its folders."""
    named = {getattr(dataset, part, None) for part in ("name", "domain", "path", "reference")}
    return sorted(n for n in named - {"folder", dataset.source_domain} if isinstance(n, str))


def leaves(node: object, path: str = "method") -> Iterator[tuple[str, object]]:
    """(dotted path, value) of every plain value in a YAML node but for the classes it names."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from () if key == "_target_" else leaves(value, f"{path}.{key}")
    elif isinstance(node, list):
        for n, value in enumerate(node):
            yield from leaves(value, f"{path}[{n}]")
    else:
        yield path, node


def names_target(value: object, names: Sequence[str]) -> bool:
    """Whether a setting is the split `reference`, or holds a name as a word of its own."""
    if not isinstance(value, str):
        return False
    words = (rf"(?<![^\W_]){re.escape(name)}(?![^\W_])" for name in names)
    return value == "reference" or any(re.search(word, value) for word in words)


@contextmanager
def reference_out_of_reach(cell: Cell) -> Iterator[Attempts]:
    """Bars the dataset's reference: its functions, its files, and its split of the renderer.

    Yields the attempts to pass. Files are barred where Python opens them.
    """
    attempts, dataset = Attempts(), cell.dataset
    files = getattr(dataset, "files", lambda *_: None)
    shots = {real_path(f) for f in files("shots", cell.shots.k, cell.shots.subset) or ()}
    barred = {real_path(f) for f in files("reference", cell.shots.k, cell.shots.subset) or ()}
    with ExitStack() as stack:
        for owner in type(dataset).__mro__:
            for way in WAYS:
                if way in vars(owner):
                    stack.enter_context(patch.object(owner, way, _barred(way, attempts)))
        drawn = _only_allowed(cell, attempts)
        stack.enter_context(patch.object(fsig_bench.faceworld.render, "draw", drawn))
        stack.enter_context(_files_barred(barred - shots, attempts))
        yield attempts


def _barred(way: str, attempts: Attempts) -> Callable[..., None]:
    def refuse(*words: object, **more: object) -> None:
        attempts.refuse(f"the dataset's `{way}`")

    return refuse


def _only_allowed(cell: Cell, attempts: Attempts) -> Callable[[str, str, Sequence[int]], object]:
    """The `draw` of faceworld without the target's images, and without any domain's reference."""
    draw = vars(fsig_bench.faceworld.render)["draw"]
    target = getattr(cell.dataset, "domain", None)
    allowed = ("shots", "fresh") if "fresh" in cell.method.needs else ("shots",)
    if target == cell.dataset.source_domain:
        target = None  # methods may look at the source domain

    def guarded(domain: str, split: str, indices: Sequence[int]) -> object:
        if split == "reference" or (domain == target and split not in allowed):
            attempts.refuse(f"the {split} images of {domain}")
        return draw(domain, split, indices)

    return guarded


def real_path(path: str | bytes | os.PathLike[str]) -> str:
    """The path without links, of whatever `open` takes as one."""
    return os.path.realpath(os.path.expanduser(os.fsdecode(path)))


_guards: list[tuple[set[str], Attempts]] = []  # an audit hook cannot be taken away again
_hooked: list[bool] = []


def _look_at_open(event: str, args: tuple[object, ...]) -> None:
    if event == "open" and _guards and isinstance(args[0], str | bytes | os.PathLike):
        files, attempts = _guards[-1]
        if (path := real_path(args[0])) in files:
            attempts.refuse(f"the reference image {path}")


@contextmanager
def _files_barred(files: set[str], attempts: Attempts) -> Iterator[None]:
    """Opening one of these files raises `Peeked`."""
    if not files:
        yield
        return
    if not _hooked:
        sys.addaudithook(_look_at_open)
        _hooked.append(True)
    _guards.append((files, attempts))
    try:
        yield
    finally:
        _guards.pop()
