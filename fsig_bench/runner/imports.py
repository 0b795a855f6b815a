"""The import closure of a class: the files of code that its results may depend on.

Files are found and parsed without being imported, so no torch is loaded and nothing runs. Of the
harness only the rooms that compute are counted; of other code, the package or module that the class
belongs to. Libraries are stated by their versions in records instead.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

from fsig_bench.api.places import ROOT

ROOMS = ("api", "metrics", "networks", "data", "faceworld")  # of fsig_bench; the runner is not here
OURS = ("baselines", "fsig_bench")
# What the harness requires: never part of a closure.
LIBRARIES = frozenset(
    "PIL accelerate clip cleanfid diffusers filelock hydra hydra_plugins lpips matplotlib numpy "
    "omegaconf open_clip optuna pandas rich safetensors scipy sklearn torch torchvision tqdm "
    "transformers umap wandb".split()
)


@dataclass(frozen=True)
class Import:
    """`import module`, or `from module import name` for each name."""

    module: str
    names: tuple[tuple[str, str], ...] | None  # (name there, name here); None: the module itself
    for_types: bool  # within `if TYPE_CHECKING`


@dataclass(frozen=True)
class Source:
    """What a file of code says, apart from its comments, docstrings and layout."""

    digest: str  # 16 hex digits
    imports: tuple[Import, ...]


def is_package(file: Path) -> bool:
    """Whether a module's file is that of a package."""
    return file.name == "__init__.py"


def module_file(module: str) -> Path | None:
    """The file of a dotted module; None where Python finds none, or one that is not Python."""
    top, *rest = module.split(".")
    if top in OURS:
        base: Path | None = ROOT / top
    else:
        spec = PathFinder.find_spec(top)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            places = list(spec.submodule_search_locations or ()) if spec else []
            base = Path(places[0]) if places else None
        elif Path(spec.origin).name != "__init__.py":
            return None if rest else Path(spec.origin)
        else:
            base = Path(spec.origin).parent
    if base is None:
        return None
    path = base.joinpath(*rest)
    files = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((file for file in reversed(files) if file.is_file()), None)


def read_source(file: Path) -> Source:
    """A file's digest and imports; a process parses it again only if its size or time changes.

    Raises:
        ValueError: the file is no Python code; the message names the line.
    """
    stat = file.stat()
    return _read_source(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _read_source(file: Path, size: int, time_ns: int) -> Source:
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise ValueError(f"{file}, line {error.lineno}: {error.msg}") from error
    head = hashlib.sha256()
    for word in canonical_words(tree):
        head.update(word.encode("utf-8", "surrogatepass") + b"\0")
    return Source(head.hexdigest()[:16], tuple(_imports(tree, False)))


def canonical_words(node: object) -> Iterator[str]:
    """A syntax tree as words: the same for the same code on every version of Python.

    Comments, docstrings and positions are left out, and so are empty fields, which versions of
    Python add.
    """
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and _has_docstring(node):
                value = value[1:]
            if value is not None and value != []:
                yield name
                yield from canonical_words(value)
        yield "end"
    elif isinstance(node, list):
        yield "["
        for part in node:
            yield from canonical_words(part)
        yield "]"
    else:
        yield f"{type(node).__name__} {node!r}"


def _has_docstring(node: ast.AST) -> bool:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return ast.get_docstring(node, clean=False) is not None


def _imports(node: ast.AST, for_types: bool) -> Iterator[Import]:
    """Every import of a file, wherever it stands; relative ones keep their leading dots."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, None, for_types) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            names = tuple((a.name, a.asname or a.name) for a in child.names)
            yield Import("." * child.level + (child.module or ""), names, for_types)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.body:
                yield from _imports(ast.Module([part], []), True)
            yield from _imports(ast.Module(child.orelse, []), for_types)
        else:
            yield from _imports(child, for_types)


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
        """Whether a module is part of closures of this class."""
        top, *rest = module.split(".")
        if top == "baselines" or (top == self.top and top != "fsig_bench"):
            return True
        if top == "fsig_bench":
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
