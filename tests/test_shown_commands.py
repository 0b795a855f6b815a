"""Every command of the pages is one that its program takes: each is parsed, or composed, or run."""

import re
import shlex
import tomllib
from importlib import import_module

import pytest
from helpers import ROOT, composed
from shown_commands import block_lines, parsed, shown

from fsig_bench.help import WORDS

COMMANDS = shown()
OURS = [c for c in COMMANDS if c[1][0] == "fsig-bench" and len(c[1]) > 1 and c[1][1] in WORDS]
OTHERS = [c for c in COMMANDS if c[1][0] not in ("fsig-bench", "python")]
EXAMPLES = re.compile(r"\b(NAME|COUNT|DIR|ENTITY|PROJECT|A|B)$|\.\.\.$|^\[|sdedit")
STRANGE = (
    "wandb tensorboard git cd mkdir chgrp chmod pdflatex bibtex eval pre-commit $EDITOR".split()
)


class Reached(Exception):
    """The words were understood; the work would begin here."""


def reach(*arguments, **settings):
    raise Reached


def stop_after_parsing(module, monkeypatch):
    parse = module.parse_words

    def parse_and_stop(*arguments, **settings):
        raise Reached(parse(*arguments, **settings))

    monkeypatch.setattr(module, "parse_words", parse_and_stop)


def names_in(group):
    return {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}


def understand(word, words, monkeypatch):
    """Raises Reached where the word takes these words, and its own error where it does not."""
    module = import_module(WORDS[word])
    if word == "tune":
        from fsig_bench.tune.candidates import compose, results_dir_of
        from fsig_bench.tune.plans import with_plan

        fixed = module.parse_request(with_plan(words)).fixed
        results_dir_of(fixed)  # composes them, the word dataset=dev as one of its targets
        compose([word for word in fixed if word != "dataset=dev"])
    elif word == "score":
        module.arguments(words)
    elif word == "check" or (word, *words[:1]) == ("runs", "why"):
        wanted = [w for w in words if w not in ("why", "accept=true")]
        composed("dataset=babies", *(w for w in wanted if "=" in w))
    elif (word, *words[:1]) in {("report", "dashboard"), ("report", "published")}:
        monkeypatch.setattr(f"fsig_bench.report.{SUB[words[0]]}.main", reach)
        module.main(words)
    else:
        if (word, *words[:1]) == ("audit", "flips"):
            stop_after_parsing(import_module("fsig_bench.report.audit.rescored"), monkeypatch)
        stop_after_parsing(module, monkeypatch)
        module.main(words)
    raise Reached


SUB = {"dashboard": "dashboard", "published": "reach"}


@pytest.mark.parametrize("page, words", OURS, ids=lambda v: " ".join(v) if v[0] else v)
def test_a_word_takes_what_the_page_shows(page, words, monkeypatch):
    word = words[1]
    rest = [w for w in words[2:] if not EXAMPLES.search(w) and w not in ("--config-dir", "my_conf")]
    if word == "tune" and not rest:
        return  # the word alone, in a sentence
    if word == "score" and not rest:
        return
    with pytest.raises(Reached) as found:
        understand(word, rest, monkeypatch)
    given = found.value.args[0] if found.value.args else None
    settings = given.settings if given else {}
    assert set(settings.get("table", "main").split(",")) <= names_in("table")
    if word == "compare" and given.positional:
        assert set(given.positional[:2]) <= names_in("method")
    if word == "prepare":
        sets = names_in("in_suite/dataset/paper")
        assert settings.get("dataset", "babies") in sets and len(sets) > 5


@pytest.mark.parametrize(
    "words",
    [
        ["report", "tabel=main"],
        ["runs", "verfy"],
        ["check", "method=cridi"],
        ["tune", "method=crdi"],
        ["score", "reference=x"],
        ["audit", "bogus=1"],
    ],
    ids=" ".join,
)
def test_a_wrong_word_would_be_found(words, monkeypatch):
    with pytest.raises(Exception) as found:  # Hydra's own kind for a method that is not there
        understand(words[0], words[1:], monkeypatch)
    assert not isinstance(found.value, Reached)


@pytest.mark.parametrize("page, words", OTHERS, ids=lambda v: " ".join(v) if v[0] else v)
def test_another_program_is_given_what_is_there(page, words):
    program, *rest = words
    if program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.M)
    elif program == "pip":
        extras = {e for w in rest for e in re.findall(r"\w+", w.partition("[")[2])}
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert extras <= set(known["optional-dependencies"])
        assert re.match(r"(\.|fsig-bench|pre-commit)(\[|$)", rest[-1])
    elif program == "tools/gpu_session.sh":
        assert (ROOT / program).is_file()
    elif program in ("pytest", ".venv/bin/python"):
        assert all((ROOT / w).exists() for w in rest if w.startswith("tests/"))
    else:
        assert program in STRANGE, f"{page}: no test knows {program}"
    assert all((ROOT / w).exists() for w in rest if w.startswith(("docs/", "conf/")))


PRETRAIN = [c for c in COMMANDS if c[1][:3] == ("python", "-m", "baselines.pretrain")]


@pytest.mark.parametrize("page, words", PRETRAIN, ids=lambda v: " ".join(v) if v[0] else v)
def test_a_training_has_all_its_settings(page, words, monkeypatch):
    module = import_module("baselines.pretrain.__main__")
    monkeypatch.setattr(module, "instantiate", reach)
    with pytest.raises(Reached):
        module.main([*words[3:]] or ["diffusion"])


def test_commands_are_found_in_every_kind_of_block():
    text = (
        "Words.\n\n    A=1 make run   # why\n    fsig-bench \\\n        list\n    made of 3\n\n"
        "```sh\ngit clone x && cd x\n```\n\n- a list\n    that goes on\n\n"
        "```python\nmake = 1\n```\n"
    )
    found = [words for line in block_lines(text) for words in parsed(line)]
    whole = ["make run", "fsig-bench list", "git clone x", "cd x"]
    assert found == [tuple(shlex.split(line)) for line in whole]
