"""`Any` in a signature is the exception that says why: `# Any: a JSON value` in the signature."""

import ast
import re

import pytest
from helpers import ROOT

FOLDERS = ("fsig_bench", "baselines", "tools")
REASON = re.compile(r"# Any: \S+ \S+")  # two words at least
REMARK = re.compile(r"# .*\S+ \S+")  # an alias has a name to say the rest


def is_any(node):
    return isinstance(node, ast.Name) and node.id == "Any"


def holds_any(node):
    """Whether an annotation holds `Any`, quoted or not."""
    for inner in ast.walk(node) if node is not None else ():
        if is_any(inner) or (isinstance(inner, ast.Attribute) and inner.attr == "Any"):
            return True
        if isinstance(inner, ast.Constant) and re.search(r"\bAny\b", str(inner.value)):
            return True
    return False


def says_why(lines, first, last, pattern=REASON):
    return any(pattern.search(line) for line in lines[first - 1 : last])


def unexplained(text):
    """Lines of signatures, fields and aliases with an `Any` and no reason beside it."""
    tree, lines, found = ast.parse(text), text.splitlines(), []
    aliases = [n for n in tree.body if isinstance(n, ast.Assign) and holds_any(n.value)]
    fields = [
        n
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef)
        for n in kind.body
        if isinstance(n, ast.AnnAssign) and holds_any(n.annotation)
    ]
    found += [n.lineno for n in fields if not says_why(lines, n.lineno, n.end_lineno)]
    # An alias may say it on the line above.
    found += [
        n.lineno for n in aliases if not says_why(lines, max(n.lineno - 1, 1), n.end_lineno, REMARK)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            words = node.args
            given = [*words.posonlyargs, *words.args, *words.kwonlyargs, words.vararg, words.kwarg]
            kinds = [a.annotation for a in given if a is not None] + [node.returns]
            heads = range(node.lineno, max(node.lineno, node.body[0].lineno - 1) + 1)
            colons = (n for n in heads if lines[n - 1].split("#")[0].rstrip().endswith(":"))
            last = next(colons, node.lineno)
            if any(map(holds_any, kinds)) and not says_why(lines, node.lineno, last):
                found.append(node.lineno)
    return sorted(found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_any_in_a_signature_says_why(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        assert not unexplained(path.read_text()), path.relative_to(ROOT)


def test_every_kind_of_unexplained_any_is_found():
    planted = (
        "def f(a: Any): pass",
        "def f(a) -> dict[str, Any]: pass",
        "async def f(*a: Any): pass",
        "def f(**a: 'list[Any]'): pass",
        "def f(*, a: typing.Any = 1): pass",
        "class A:\n    def f(self, a: Any): pass",
        "class A:\n    a: Any = None",
        "Json = Mapping[str, Any]",
        "def f(a: Any):  # uint8 [n, 3, h, w]\n    pass",
        "def f(\n    a: int,\n    b: Any,\n):\n    # a remark on the body is no reason\n    pass",
    )
    assert all(len(unexplained(text)) == 1 for text in planted)
    explained = (
        "def f(a: Any):  # Any: of torchvision\n    pass",
        "def f(\n    a: Any,  # Any: a JSON value\n):\n    pass",
        "Json = Mapping[str, Any]  # of json.loads",
        "# What json.loads gives.\nJson = Mapping[str, Any]",
        "def f(a: object):\n    b: Any = a",
    )
    assert not any(unexplained(text) for text in explained)
