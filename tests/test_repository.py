"""What a public repository holds: versions that agree, CI, and no trace of one machine."""

import ast
import importlib
import json
import re
import subprocess
import tomllib

import pytest
import yaml
from helpers import ROOT

import fsig_bench

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked():
    """The text files that git knows, by path."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no git repository here")
    found = {}
    for name in filter(None, done.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in (".png", ".svg", ".safetensors", ".csv") or not path.is_file():
            continue
        if name != "tests/test_repository.py" and not name.startswith("results/reference/"):
            found[name] = path.read_text(encoding="utf-8", errors="replace")
    return found


def test_version_citation_and_notes_agree():
    version = fsig_bench.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest and str(citation["version"]) == newest[1] == version


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "fsig_bench" / "py.typed").is_file()
    assert (ROOT / "baselines" / "py.typed").is_file()


HOSTS = (
    "pypi.org",
    "pythonhosted.org",
    "registry.npmjs",
    "deb.debian.org",
    "download.pytorch.org/whl",
)
MACHINE = re.compile(r"(?<![\w.~}])/(?:work|root|home/(?!me/)\w+|Users/(?!me/)\w+)/")


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    texts = tracked()
    assert len(texts) > 300
    assert [(name, host) for name, text in texts.items() for host in HOSTS if host in text] == []
    assert [(name, m[0]) for name, text in texts.items() if (m := MACHINE.search(text))] == []


def test_the_workflow_runs_what_a_laptop_runs():
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert True in flow or "on" in flow  # YAML 1.1 reads the key `on` as true
    (tests, docs) = (flow["jobs"][name] for name in ("tests", "docs"))
    assert "bash .ci/run" in [step.get("run") for step in tests["steps"]]
    assert "make docs" in [step.get("run") for step in docs["steps"]]
    versions = tests["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"


def test_pre_commit_runs_the_linters_of_make():
    """From the environment, so that no other version of a linter decides."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (local,) = hooks
    assert local["repo"] == "local"
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        assert f"$(BIN)/{hook['entry'].removeprefix('.venv/bin/')}" in lint, hook["id"]
    assert len(local["hooks"]) == lint.count("$(BIN)/")


def test_the_dockerfile_copies_what_is_there_and_takes_its_base_as_an_argument():
    text = (ROOT / "Dockerfile").read_text()
    lines = [line.split() for line in re.sub(r"\\\n\s*", "", text).splitlines()]
    arguments = {line[1].partition("=")[0] for line in lines if line[:1] == ["ARG"]}
    assert {"BASE", "EXTRAS"} <= arguments
    assert ["FROM", "${BASE}"] in lines
    for line in lines:
        if line[:1] == ["COPY"]:
            assert all((ROOT / name).exists() for name in line[1:-1]), line
    (entry,) = (json.loads(" ".join(line[1:])) for line in lines if line[:1] == ["ENTRYPOINT"])
    assert entry == ["fsig-bench"] and entry[0] in PROJECT["project"]["scripts"]


def test_benches_import_names_that_are_there():
    """Benches are not run by the tests, and would otherwise break unseen."""
    missing = []
    for path in sorted((ROOT / "tests" / "bench").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or node.level:
                continue
            if (node.module or "").split(".")[0] not in ("fsig_bench", "baselines", "tools"):
                continue
            module = importlib.import_module(str(node.module))
            for name in (alias.name for alias in node.names):
                try:
                    found = hasattr(module, name) or importlib.import_module(
                        f"{node.module}.{name}"
                    )
                except ModuleNotFoundError:
                    found = False
                if not found:
                    missing.append(f"{path.name}: {node.module}.{name}")
    assert not missing
