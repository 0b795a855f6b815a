"""experiment=smoke: every method in under a minute, as conf/in_experiment shortens training."""

import time

import pytest
import yaml
from helpers import BRIEF, ROOT, composed, make_cell

import fsig_bench

CONF = ROOT / "conf"
FOLDER = CONF / "in_experiment" / "method"
METHODS = sorted(p.stem for p in (CONF / "method").glob("*.yaml"))
NOTHING_TO_ADAPT = {"copy", "real", "source", "from_folder"}


def test_every_file_belongs_to_an_experiment_and_a_method_that_there_are():
    for path in FOLDER.glob("*/*.yaml"):
        assert (CONF / "experiment" / f"{path.parent.name}.yaml").exists(), path
        assert path.stem in METHODS, path


@pytest.mark.parametrize("name", sorted(set(METHODS) - NOTHING_TO_ADAPT))
def test_smoke_shortens_the_training_of_every_method(name):
    short = make_cell(f"method={name}", "dataset=babies", "experiment=smoke")
    whole = make_cell(f"method={name}", "dataset=babies")
    assert short.adapt_key != whole.adapt_key
    assert (FOLDER / "smoke" / f"{name}.yaml").exists()


@pytest.mark.parametrize("name", sorted(p.stem for p in (FOLDER / "smoke").glob("*.yaml")))
def test_what_an_experiment_changes_is_shown_in_its_file(name):
    node = yaml.safe_load((FOLDER / "smoke" / f"{name}.yaml").read_text())
    values = {key: value for key, value in node.items() if key != "defaults"}
    method = composed(f"method={name}", "dataset=babies", "experiment=smoke").method
    for key, value in values.items():
        inner = {key: value} if not isinstance(value, dict) else value
        outer = method if not isinstance(value, dict) else method[key]
        assert {k: outer[k] for k in inner} == inner


def test_other_experiments_and_lists_of_them_change_no_method():
    plain = composed("method=rs_imle", "dataset=babies").method
    for experiment in ("seeds", "[seeds,shots]"):
        words = ["method=rs_imle", "dataset=babies", f"experiment={experiment}"]
        assert composed(*words).method == plain


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["copy", "real", "source", "d2c", "gan_inversion", "genda", "finetune"]
)
def test_a_smoke_run_takes_less_than_a_minute(name, tmp_path):
    """The quicker half, scored on less, in processor time; all were measured by hand."""
    began = time.process_time()
    words = [f"method={name}", "dataset=babies", "experiment=smoke", f"results_dir={tmp_path}"]
    record = fsig_bench.run(*BRIEF, *words, "dataset.n_ref=100", "figures.tsne_points=20")
    assert time.process_time() - began < 60
    assert record["metrics"]["fd"]["value"] > 0 and record["num_images"] == 24
