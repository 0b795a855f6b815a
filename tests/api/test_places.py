"""Where the harness's data lies, and which code it is."""

import subprocess

from helpers import ROOT

from fsig_bench.api import places, weights
from fsig_bench.runner import record


def test_a_checkout_reads_its_own_conf_and_an_install_does_not_pass_for_one(tmp_path):
    assert places.CHECKOUT == ROOT and places.CONF == ROOT / "conf"
    assert places.PUBLISHED == ROOT / "results" / "published"
    (tmp_path / "pyproject.toml").write_text("")  # somebody's project around an environment
    assert not places.is_checkout(tmp_path)


def test_a_commit_is_that_of_the_codes_own_repository(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(record, "CHECKOUT", tmp_path)
    commit, dirty = record.code_version()
    assert commit is not None and len(commit) == 40 and not dirty
    (tmp_path / "inner").mkdir()
    monkeypatch.setattr(record, "CHECKOUT", tmp_path / "inner")
    assert record.code_version() == (None, False)


def test_a_weight_file_stays_found_when_the_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    first = weights.verified("baselines/weights/mini/reader.safetensors")
    monkeypatch.chdir(tmp_path)
    assert first.is_absolute() and first.is_file()
    assert weights.verified("baselines/weights/mini/reader.safetensors") == first
