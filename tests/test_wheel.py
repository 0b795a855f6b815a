"""The wheel, installed, works from an empty folder without the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest
from helpers import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without a network, as `pip wheel .` does."""
    out = tmp_path_factory.mktemp("wheel")
    words = ["wheel", "--no-build-isolation", "--no-deps", "--quiet", "--wheel-dir", str(out)]
    subprocess.run([sys.executable, "-m", "pip", *words, str(ROOT)], check=True, cwd=out)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory):
    """The bin folder of an environment that has the wheel, and of the rest what is here.

    A .pth file names this environment's packages; the editable install among them, itself a .pth
    file, is not followed.
    """
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False)
    scripts, packages = (
        sysconfig.get_path(kind, "venv", {"base": place, "platbase": place})
        for kind in ("scripts", "purelib")
    )
    with open(os.path.join(packages, "others.pth"), "w") as file:
        file.write(sysconfig.get_path("purelib") + "\n")
    words = ["--python", f"{scripts}/python", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", *words, str(wheel)], check=True)
    return scripts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


def typed(scripts, folder, *words):
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [f"{scripts}/{words[0]}", *words[1:]],
        cwd=folder,
        env=outside | {"COLUMNS": "200", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_holds_configs_weights_and_published_numbers(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    conf = {p.relative_to(ROOT).as_posix() for p in (ROOT / "conf").rglob("*.yaml")}
    assert {f"fsig_bench/{name}" for name in conf} <= names
    for folder, inside in (
        ("results/published", "fsig_bench/published"),
        ("baselines", "baselines"),
    ):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" in names
    templates = [p for p in (ROOT / "fsig_bench" / "report" / "html").rglob("*.*") if p.is_file()]
    shipped = [p for p in templates if p.suffix in (".html", ".css", ".js")]
    assert {p.relative_to(ROOT).as_posix() for p in shipped} <= names
    assert not [n for n in names if n.startswith(("tests", "tools", "docs", "conf", "results"))]
    assert {"fsig_bench/py.typed", "baselines/py.typed"} <= names
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_the_code_and_its_files_are_those_of_the_wheel(scripts, folder):
    code = (
        "import fsig_bench; from fsig_bench.api import places, weights;"
        "from fsig_bench.runner.record import code_version;"
        "print(fsig_bench.__file__, places.CONF, places.PUBLISHED);"
        "print(weights.verified('baselines/weights/mini/gan.safetensors'));"
        "print(places.CHECKOUT, *code_version())"
    )
    # A repository that happens to lie around the environment is not the code's.
    subprocess.run(["git", "init", "-q", os.path.dirname(scripts)], check=True)
    *paths, last = typed(scripts, folder, "python", "-c", code).splitlines()
    for path in " ".join(paths).split():
        assert path.startswith(os.path.dirname(scripts)) and not path.startswith(str(ROOT))
    assert last == "None None False"


def test_the_command_runs_a_method_from_an_empty_folder(scripts, folder):
    words = ["method=crdi", "dataset=babies", "experiment=smoke", "k=2", "num_images=8"]
    words += ["dataset.n_ref=100", "figures.embedding=pca"]
    assert "Frechet distance" in typed(scripts, folder, "fsig-bench", *words)
    (path,) = (folder / "results" / "smoke" / "runs").rglob("record.json")
    record = json.loads(path.read_text())
    assert record["method"] == "crdi" and record["environment"]["git_commit"] is None
    again = typed(scripts, folder, "python", "-m", "fsig_bench", *words)
    assert "Frechet distance" in again and "adapt crdi" not in again  # read, not made
    assert [p.name for p in folder.iterdir()] == ["results"]


def test_every_other_word_works_there_too(scripts, folder):
    assert "48.52" in typed(scripts, folder, "fsig-bench", "report", "table=crdi_table2")
    assert "babies" in typed(scripts, folder, "fsig-bench", "list")
    assert "method=crdi dataset=babies" in typed(scripts, folder, "fsig-bench", "--help")
    assert "fake=FOLDER" in typed(scripts, folder, "fsig-bench", "score", "--help")
    assert "crdi" in typed(scripts, folder, "python", "-m", "fsig_bench", "list", "methods")
