"""Every file below conf/ composes and says where it belongs."""

import pytest
import yaml
from helpers import ROOT, build, composed, make_cell

CONF = ROOT / "conf"
METHODS = {p.stem for p in (CONF / "method").glob("*.yaml")}


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "experiment").glob("*.yaml")))
def test_every_experiment_composes_and_shows_its_command(name):
    config = composed("method=crdi", "dataset=babies", f"experiment={name}")
    assert config.method.card.name == "crdi"
    assert f"experiment={name}" in (CONF / "experiment" / f"{name}.yaml").read_text()


MINI_SWEEPS = {
    p.stem: sweep["params"]
    for p in sorted((CONF / "experiment").glob("*.yaml"))
    if (sweep := yaml.safe_load(p.read_text()).get("hydra", {}).get("sweeper"))
    and not p.stem.startswith(("paper_", "grid"))  # tests/sweep/test_grid.py
}


@pytest.mark.parametrize("name", MINI_SWEEPS)
def test_every_value_of_a_sweep_can_run(name):
    """Each value beside the first ones of the others, and all the last ones together."""
    values = {k: str(v).split(",") for k, v in MINI_SWEEPS[name].items()}
    base = {"method": "rs_imle" if name == "eps" else "crdi", "dataset": "babies"}
    base |= {k: v[0] for k, v in values.items()}
    points = [base | {k: v} for k, listed in values.items() for v in listed]
    points.append(base | {k: v[-1] for k, v in values.items()})
    runs = set()
    for point in points:
        cell = make_cell(*(f"{k}={v}" for k, v in point.items()), f"experiment={name}")
        runs.add(cell.run_id)
        assert cell.config["controls"] == []
    assert len(runs) == len({tuple(p.items()) for p in points})  # no two are the same run


DATASETS = {p.stem for p in (CONF / "dataset").glob("*.yaml")}
IN_SUITE = CONF / "in_suite"


def test_what_a_suite_says_of_methods_and_datasets_names_ones_that_there_are():
    for path in IN_SUITE.glob("*/*/*.yaml"):
        assert (CONF / "suite" / f"{path.parent.name}.yaml").exists(), path
    assert {p.stem for p in IN_SUITE.glob("method/*/*.yaml")} <= METHODS
    assert {p.stem for p in IN_SUITE.glob("dataset/*/*.yaml")} == DATASETS - {"folder"}
    presets = {p.stem for p in (CONF / "method" / "objective").glob("*.yaml")}
    assert {p.stem for p in IN_SUITE.glob("objective/*/*.yaml")} <= presets


ON_DATASET = sorted((IN_SUITE / "method_on_dataset").glob("*/*.yaml"))


@pytest.mark.parametrize("path", ON_DATASET, ids=lambda p: p.stem)
def test_what_a_suite_says_of_a_method_on_a_dataset_changes_it_there(path):
    suite, (method, dataset) = path.parent.name, path.stem.split("-", 1)
    words = [f"suite={suite}", f"method={method}", f"dataset={dataset}"]
    other = composed(words[0], words[1], "dataset=metfaces").method
    assert composed(*words).method != other and method in METHODS


@pytest.mark.parametrize("suite", ["mini", "paper"])
@pytest.mark.parametrize("name", ["tgan", "ada", "freezed", "ewc", "cdc", "dcl"])
def test_an_objective_of_gan_adapt_is_the_method_of_that_name(name, suite):
    both = (["method=gan_adapt", f"method/objective={name}"], [f"method={name}"])
    chosen, own = (composed(*w, f"suite={suite}", "dataset=metfaces").method for w in both)
    assert {**chosen, "card": None} == {**own, "card": None}


def test_freezed_leaves_a_block_of_the_mini_suites_critic_to_train():
    words = ["method=gan_adapt", "method/objective=freezed", "dataset=babies"]
    assert composed(*words, "suite=paper").method.objective.frozen_layers == 4
    method = build(make_cell(*words))
    critic = method.training(k=2, seed=0).critic
    trained = [any(p.requires_grad for p in b.parameters()) for b in critic.blocks]
    assert trained == [False, False, False, True]


def test_rs_imle_runs_on_all_images_of_its_nine_sets():
    params = yaml.safe_load((CONF / "experiment" / "paper_rs_imle.yaml").read_text())
    names = params["hydra"]["sweeper"]["params"]["dataset"].split(",")
    words = ("suite=paper", "method=rs_imle", "experiment=paper_rs_imle")
    counts = [composed(*words, f"dataset={name}").k for name in names]
    assert counts == [100, 100, 100, 100, 160, 389, 120, 97, 64]
    # Adaptive IMLE's scripts, set by set: change, pool, refresh, rate.
    scripts = {
        "obama": (0.01, 100, 15, 5e-5),
        "grumpy_cat": (0.02, 100, 25, 1e-4),
        "panda": (0.01, 200, 30, 1e-4),
        "animalface_cat": (0.01, 100, 25, 5e-5),
        "animalface_dog": (0.01, 100, 15, 1e-4),
        "ffhq100": (0.02, 100, 15, 1e-4),
    }
    for name, values in scripts.items():
        m = composed("suite=paper", "method=adaimle", f"dataset={name}").method
        assert (m.adaptive.change, m.pool_factor, m.refresh_every, m.lr) == values
        assert m.projection.kind == "lpips" and not m.projection.normalise


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_has_a_card_and_its_command(name):
    text = (CONF / "method" / f"{name}.yaml").read_text()
    assert f"method={name}" in text
    assert yaml.safe_load(text)["card"]["name"] == name


@pytest.mark.parametrize("group", ["objective", "projector"])
def test_every_preset_of_a_method_composes(group):
    method = {"objective": "domainstudio", "projector": "gan_inversion"}[group]
    seen = []
    for path in (CONF / "method" / group).glob("*.yaml"):
        config = composed(f"method={method}", "dataset=babies", f"method/{group}={path.stem}")
        seen.append(str(config.method[group]) + str(config.method.get("prior")))
    assert len(set(seen)) == len(seen) > 2  # no two presets are the same


def test_a_setting_that_a_card_calls_speed_only_is_one_of_the_methods():
    """`speed_only` maps a setting to the value that takes the least memory."""
    found = {}
    for path in (ROOT / "conf" / "method").glob("*.yaml"):
        words = f"method={path.stem}", "dataset=babies"
        cfg = composed(*words).method
        for name, value in (cfg.card.get("speed_only") or {}).items():
            assert name in cfg, (path.stem, name)
            # In one suite at least there is something to save.
            assert {cfg[name], composed(*words, "suite=paper").method[name]} != {value}, name
            found[path.stem] = name
    assert {"d2c", "rs_imle", "domainstudio"} <= set(found)
