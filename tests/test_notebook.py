"""docs/quickstart.ipynb: committed without outputs; it runs in an empty folder."""

import json
import os

import pytest
from helpers import ROOT

PATH = ROOT / "docs" / "quickstart.ipynb"


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads(PATH.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow  # a kernel imports torch, then makes a run of twelve images
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    client = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "work").mkdir()
    book = nbformat.read(PATH, as_version=4)
    context = {"metadata": {"path": str(tmp_path / "work")}}
    client.NotebookClient(book, timeout=300, resources=context).execute()
    printed = ["".join(o.get("text", "") for o in c.get("outputs", [])) for c in book.cells]
    assert any("copy_rate       1.000" in text for text in printed)
    assert any("needs the shots" in text for text in printed)
    shown = [o for c in book.cells for o in c.get("outputs", []) if "data" in o]
    assert any("image/png" in o["data"] for o in shown)
    assert any("sample_s" in o["data"].get("text/html", "") for o in shown)
