"""A test of two methods' samples: equal ones, other ones, and runs whose samples are not here."""

import re
import shutil

import pytest
from helpers import BRIEF, make_cell

from fsig_bench.report.compare import main
from fsig_bench.report.records import load
from fsig_bench.report.sample_test import named_test, sample_features
from fsig_bench.runner.run import run
from fsig_bench.store.store import Store

SMALL = ["num_images=60", "batch_size=60", "suite.shard_size=60", "dataset.n_ref=100", "device=cpu"]
SMALL += ["controls=[]", "figures.embedding=pca", "figures.tsne_points=12", "dataset=babies"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for method in ("real", "copy"):
        run(make_cell(f"method={method}", *BRIEF, *SMALL), Store(folder))
    return folder


def test_samples_are_tested_in_the_features_that_scoring_has_left(results, capsys):
    before = sorted((results / "store" / "features").iterdir())
    assert main(["real", "copy", str(results), "test=mmd_test"]) == 0
    text = capsys.readouterr().out
    assert "real minus copy" in text and "p by mmd_test, 999 permutations" in text
    assert re.search(r"babies +p = 0\.001  \(1\)", text)
    assert sorted((results / "store" / "features").iterdir()) == before


def test_the_p_values_of_several_targets_are_corrected(results, tmp_path, capsys):
    shutil.copytree(results, tmp_path / "results")
    for method in ("real", "copy"):
        words = [*(w for w in SMALL if w != "dataset=babies"), "dataset=sketches"]
        run(make_cell(f"method={method}", *BRIEF, *words), Store(tmp_path / "results"))
    assert main(["real", "copy", str(tmp_path / "results"), "test=mmd_test"]) == 0
    text = capsys.readouterr().out
    assert len(re.findall(r"(babies|sketches) +p = 0\.002  \(1\)", text)) == 2  # twice 1 / 1000


def test_every_other_sample_of_one_method_looks_like_those_between(results):
    records = {r["method"]: r for r in load([results / "runs"])}
    features = sample_features(records["real"], [Store(results)])
    assert named_test("mmd_test").together([(features[::2], features[1::2])], 0) > 0.05


def test_missing_samples_and_other_metrics_are_named(results, tmp_path, capsys):
    shutil.copytree(results / "runs", tmp_path / "runs")
    assert main(["real", "copy", str(tmp_path), "test=mmd_test"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"babies +not tested: the samples of real, seed 0, run \w+ are not in", text)
    with pytest.raises(ValueError, match="test=fd is no permutation test; there is mmd_test"):
        named_test("fd")
