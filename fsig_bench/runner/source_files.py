"""Files of Python code, found and parsed without being imported: their digest and their imports."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

from fsig_bench.api.digests import FileState, file_state
from fsig_bench.api.places import ROOT

OURS = ("baselines", "fsig_bench")
ONLY_FOR_TYPES = ("TYPE_CHECKING", "typing.TYPE_CHECKING")  # tests of an `if`


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
    return _read_source(file_state(file))


@lru_cache(maxsize=4096)
def _read_source(state: FileState) -> Source:
    file = Path(state.path)
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
        elif isinstance(child, ast.If) and ast.unparse(child.test) in ONLY_FOR_TYPES:
            for part in child.body:
                yield from _imports(ast.Module([part], []), True)
            yield from _imports(ast.Module(child.orelse, []), for_types)
        else:
            yield from _imports(child, for_types)
