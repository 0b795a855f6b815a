"""The import closure of a class: the files of code that its results may depend on.

Files are found and parsed without being imported, so no torch is loaded and nothing runs. Of the
harness only the rooms that compute are counted; of other code, the package or module that the class
belongs to. Libraries are stated by their versions in records instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from fsig_bench.runner.source_files import OURS, is_package, module_file, read_source

ROOMS = ("metrics", "networks", "data", "faceworld")  # of fsig_bench; the runner is not here
API = ("images", "seeding", "types")  # the rest of the door moves bytes, which digests check
# What the harness requires: never part of a closure.
LIBRARIES = frozenset(
    "PIL accelerate clip cleanfid diffusers filelock hydra hydra_plugins lpips matplotlib numpy "
    "omegaconf open_clip optuna pandas rich safetensors scipy sklearn torch torchvision tqdm "
    "transformers umap wandb".split()
)


def absolute(name: str, module: str, *, package: bool) -> str:
    """A module as an import names it, without leading dots."""
    if not name.startswith("."):
        return name
    level = len(name) - len(name.lstrip("."))
    parts = module.split(".")
    kept = parts[: len(parts) - level + int(package)]
    return ".".join([*kept, *filter(None, [name.lstrip(".")])])


def homes(module: str, name: str) -> list[str]:
    """The modules that `from module import name` depends on.

    A package's name is followed to the module that defines it, so that a package which only
    collects names ties none of them to the others.
    """
    file = module_file(module)
    if file is None:
        return []
    if not is_package(file):
        return [module]
    if module_file(f"{module}.{name}") is not None:
        return [f"{module}.{name}"]
    for found in read_source(file).imports:
        for there, here in found.names or ():
            if here == name:
                return homes(absolute(found.module, module, package=True), there)
    return [module]


def class_module(target: str) -> str:
    """The module that defines a class named by its dotted path.

    Raises:
        ValueError: Python finds no such module.
    """
    package, _, name = target.rpartition(".")
    found = homes(package, name) if package else []
    if not found:
        raise ValueError(f"{target}: Python finds no module {package or target}; see PYTHONPATH")
    return found[0]


class Scope:
    """Which modules count for a class."""

    def __init__(self, module: str) -> None:
        self.top = module.split(".")[0]
        self.folder: Path | None = None  # of modules that lie beside the class's own
        if self.top not in OURS and (file := module_file(self.top)) is not None:
            folder = file.parents[1] if is_package(file) else file.parent
            installed = folder.name in ("site-packages", "dist-packages")
            self.folder = None if installed else folder

    def counts(self, module: str) -> bool:
        """Whether a module is part of the class's closure."""
        top, *rest = module.split(".")
        if top == "baselines" or (top == self.top and top != "fsig_bench"):
            return True
        if top == "fsig_bench":
            if rest[:1] == ["api"]:
                return len(rest) == 1 or rest[1] in API
            return bool(rest) and rest[0] in ROOMS
        if top in LIBRARIES or top in sys.stdlib_module_names or self.folder is None:
            return False
        return (file := module_file(top)) is not None and self.folder in file.parents


def is_counted(target: str) -> bool:
    """Whether a class is of ours or of a user's own, and not of a library."""
    top = target.split(".")[0]
    return top not in LIBRARIES and top not in sys.stdlib_module_names and "." in target


def closure(target: str) -> dict[str, Path]:
    """The modules that a class may depend on and their files, in order of their names.

    Args:
        target: the class's dotted path.

    Raises:
        ValueError: Python finds no such module, or a file is no Python code.
    """
    return dict(sorted(_closure([class_module(target)]).items()))


def _closure(start: Iterable[str]) -> dict[str, Path]:
    todo, found = [*start], dict[str, Path]()
    scope = Scope(todo[0])
    while todo:
        module = todo.pop()
        file = module_file(module)
        if module in found or file is None or not scope.counts(module):
            continue
        found[module] = file
        package = is_package(file)
        for imported in read_source(file).imports:
            if imported.for_types and not package:
                continue
            name = absolute(imported.module, module, package=package)
            if name != "fsig_bench" and not scope.counts(name):
                continue
            if imported.names is None:
                todo.append(name)
            else:
                for there, _ in imported.names:
                    todo += [name] if there == "*" else homes(name, there)
        if scope.folder is not None and module.split(".")[0] == scope.top:
            parts = module.split(".")[:-1]  # packages around it run when it is imported
            todo += [".".join(parts[: n + 1]) for n in range(len(parts))]
    return found
