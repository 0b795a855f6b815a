"""Every file below conf/ composes and says where it belongs."""

import pytest
import yaml
from helpers import ROOT, composed

CONF = ROOT / "conf"
METHODS = {p.stem for p in (CONF / "method").glob("*.yaml")}


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "experiment").glob("*.yaml")))
def test_every_experiment_composes_and_shows_its_command(name):
    config = composed("method=crdi", "dataset=babies", f"experiment={name}")
    assert config.method.card.name == "crdi"
    assert f"experiment={name}" in (CONF / "experiment" / f"{name}.yaml").read_text()


@pytest.mark.parametrize("path", sorted((CONF / "scale").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_scale_belongs_to_a_method_of_a_suite(path):
    suite, method = path.stem.split("-", 1)
    assert (CONF / "suite" / f"{suite}.yaml").exists() and method in METHODS


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
        seen.append(str(config.method[group]))
    assert len(set(seen)) == len(seen) > 2  # no two presets are the same
