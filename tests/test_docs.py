"""The page on adding a method, followed to the letter."""

import os
import re
import subprocess
import sys

from helpers import ROOT, records


def test_the_page_on_adding_a_method_works(tmp_path):
    page = (ROOT / "docs" / "add_a_method.md").read_text()
    code, conf, shell = re.findall(r"```(?:python|yaml|sh)\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "my_methods.py").write_text(code)
    (tmp_path / "my_conf" / "method").mkdir(parents=True)
    (tmp_path / "my_conf" / "method" / "sdedit.yaml").write_text(conf)
    words = shell.split()
    assert words[:2] == ["PYTHONPATH=.", "python"]
    quick = ["num_images=12", "suite.shard_size=12", "dataset.n_ref=100", "controls=[source]"]
    quick += ["figures.tsne_points=20"]
    done = subprocess.run(
        [sys.executable, *words[2:], *quick],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f".{os.pathsep}{ROOT}", "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "SDEdit" in done.stdout
    found = records(tmp_path / "results")
    record = found[("sdedit", "babies", 12, 0)]
    assert record["nfe_per_image"] == 13 and record["metrics"]["fd"]["value"] > 0
    assert ("source", "babies", 12, 0) in found
