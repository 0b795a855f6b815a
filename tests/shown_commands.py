"""Every command that the pages show, as words."""

import re
import shlex

from helpers import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "results" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
START = r"(?:python -m|fsig-bench) "
ASSIGNED = re.compile(r"[A-Z_]+=")  # a variable of the environment before the program
# Other indented lines show output or an equation. In a block marked sh, all lines are commands.
PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:fsig-bench|python|pip|make|git|torchrun|wandb|tensorboard|pytest|cd|mkdir"
    r"|eval|docker|pre-commit|tools/\S+\.sh|\.venv/bin/\S+)(?: |$)"
)


def block_lines(text):
    """The lines of indented blocks and of blocks marked sh, continuation lines joined."""
    found, kind, before = [], None, ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("```"):
            kind = None if kind else (line.removeprefix("```").strip() or "text")
            before = ""
        elif kind == "sh" and line.strip():
            found.append(line.strip())
        elif kind is None and line.startswith("    ") and (not before or before == "block"):
            found += [line.strip()] if PROGRAM.match(line.strip()) else []
            before = "block"
        elif kind is None:
            before = line.strip()
    return found


def parsed(line):
    """The words of a line, for each command in it; remarks after two blanks or # are dropped."""
    text = re.split(r"\s{2,}|\s#", line)[0]
    parts = [shlex.split(part) for part in re.split(r" && ", text)]
    for words in parts:
        while words and ASSIGNED.match(words[0]):
            words.pop(0)
    return [tuple(words) for words in parts if words]


def shown():
    """(page, words): commands of blocks, and those in a sentence that begin as ours do."""
    found = set()
    for page in PAGES:
        text = page.read_text()
        lines = block_lines(text)
        lines += re.findall(
            rf"`({START}[^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        )
        for line in lines:
            found |= {(page.name, words) for words in parsed(line)}
    return sorted(found)
