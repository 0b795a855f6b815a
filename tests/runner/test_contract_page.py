"""docs/add_a_method.md: its method passes the check, and its fault is found."""

import os
import re

import pytest
from helpers import ROOT, cli

PAGE = (ROOT / "docs" / "add_a_method.md").read_text()
FILES = dict(re.findall(r"`(my_[a-z_/.]+)`[^`]*?:\n\n```[a-z]+\n(.*?)```", PAGE, re.S))
DRAW = 'ImageGenerators(draw, indices, "sdedit").randn(*shots.shape[1:])'


def check(folder, method):
    """The command in a folder that holds the page's two files."""
    for path, text in (FILES | {"my_methods.py": method}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    words = ["--config-dir", "my_conf", "method=sdedit", "method.num_steps=5", "method.start=2"]
    path = os.pathsep.join([str(folder), str(ROOT)])
    return cli("check", *words, cwd=folder, env={"PYTHONPATH": path}, check=False)


def lines_of(text):
    """Words alone: the page wraps its lines."""
    return " ".join(text.split())


@pytest.mark.slow
def test_the_method_of_the_page_keeps_its_promises(tmp_path):
    done = check(tmp_path, FILES["my_methods.py"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sdedit: 14 promises kept, 0 broken, 1 skipped" in done.stdout


@pytest.mark.slow
def test_the_fault_of_the_page_is_found_in_the_words_of_the_page(tmp_path):
    instead = "torch.randn(len(indices), *shots.shape[1:])"
    assert DRAW in FILES["my_methods.py"] and f"`{instead}`" in PAGE
    text = FILES["my_methods.py"].replace(DRAW, instead)
    done = check(tmp_path, text.replace("from dataclasses", "import torch\nfrom dataclasses"))
    assert done.returncode == 1, done.stdout + done.stderr
    shown = re.search(r"```\n(BROKEN.*?)```", PAGE, re.S)
    figures = re.compile(r"(?<=up to )\d[\d.]*")  # 1.42, or 1
    said = figures.sub("*", lines_of(done.stdout))
    for promise in filter(None, shown[1].split("BROKEN")):
        assert figures.sub("*", lines_of(f"BROKEN {promise}")) in said
