"""Moving code changes no id: keys of every method, hashes of every protocol, as first released."""

import json

import pytest
from helpers import ROOT, composed, make_cell

from fsig_bench.runner.checks import samples_to_score
from fsig_bench.runner.keys import protocol_hash

PINNED = json.loads((ROOT / "tests" / "pinned_ids.json").read_text())


def method_ids(name):
    cell = make_cell(f"method={name}", "dataset=babies")
    return [cell.adapt_key, cell.sample_key, cell.run_id, cell.protocol_hash]


def protocol_id(name):
    from omegaconf import OmegaConf

    words = ["suite=paper", "method=copy", "dataset=babies", f"protocol={name}"]
    config = OmegaConf.to_container(composed(*words), resolve=True)
    return protocol_hash(protocol=config["protocol"], num_scored=samples_to_score(config))


def test_every_method_and_protocol_is_pinned():
    known = {p.stem for p in (ROOT / "conf" / "method").glob("*.yaml")} - {"from_folder"}
    assert set(PINNED["methods"]) == known
    assert set(PINNED["protocols"]) == {p.stem for p in (ROOT / "conf/protocol").glob("*.yaml")}


@pytest.mark.parametrize("name", PINNED["methods"])
def test_keys_of_a_method_are_those_of_the_committed_records(name):
    assert method_ids(name) == PINNED["methods"][name]


@pytest.mark.parametrize("name", PINNED["protocols"])
def test_the_hash_of_a_protocol_is_that_of_the_committed_records(name):
    assert protocol_id(name) == PINNED["protocols"][name]
