"""Composed once for the groups: what comes out is what Hydra composes, and its errors too."""

import pytest
from helpers import BRIEF
from hydra.errors import HydraException
from omegaconf import OmegaConf

from fsig_bench.runner import composition
from fsig_bench.runner.composition import compose_by_hydra, compose_words

WORDS = [
    ["method=crdi", "dataset=babies"],
    ["method=crdi", "dataset=babies", "k=5", "draw=${seed}", "method.sample.anneal_scale=0.2"],
    ["k=3", "method=finetune", "dataset=cats", "experiment=smoke", "method.objective.l_img=1e-3"],
    ["method=domainstudio", "method/objective=code", "dataset=obama", "method.iterations=7"],
    ["method=copy", "dataset=folder", "dataset.path='/a b/[c]'", "controls=[]", "suite=paper"],
    ["method=copy", "dataset=babies", "protocol.metrics.fd.card={heading: FD}"],
    ["method=copy", "dataset=babies", "network@suite.extractor=random_trunk", "seed=2"],
    ["method=copy", "dataset=babies", "experiment=[seeds,shots]", "num_images=20"],
    [*BRIEF, "method=source", "dataset=babies", "k=2", "k=4"],
    # Words that add or take away are Hydra's alone.
    ["method=copy", "dataset=babies", "+metric@protocol.metrics.cmmd=cmmd", "k=1"],
    ["method=copy", "dataset=babies", "~protocol.metrics.kid", "++k=2", "seed=1"],
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_it_is_the_config_that_hydra_composes(words):
    expected = compose_by_hydra(words)
    for _ in range(2):
        found = compose_words(words)
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
        assert OmegaConf.is_struct(found) == OmegaConf.is_struct(expected)
        found.k = 77  # a copy of one's own


@pytest.mark.parametrize(
    "words",
    [
        ["method=copy", "dataset=babies", "num_image=10"],
        ["method=copi", "dataset=babies", "k=2"],
        ["method=copy", "dataset=babies", "k=1,2"],
        ["method=copy", "dataset=babies", "method.card.name.first=a"],
        ["method=copy", "dataset=babies", "k=[1"],
    ],
    ids=" ".join,
)
def test_an_error_is_hydras_own(words):
    with pytest.raises(HydraException) as expected:
        compose_by_hydra(words)
    with pytest.raises(type(expected.value)) as found:
        compose_words(words)
    assert str(found.value) == str(expected.value)


def test_groups_are_composed_once_until_a_file_changes(tmp_path, monkeypatch):
    composed = []

    def compose(words):
        composed.append(words)
        return compose_by_hydra(words)

    monkeypatch.setattr(composition, "compose_by_hydra", compose)
    (tmp_path / "metric").mkdir()
    own = tmp_path / "metric" / "mine.yaml"
    own.write_text("_target_: a.B\nx: 1\n")
    words = [f"hydra.searchpath=[file://{tmp_path}]", "method=copy", "dataset=babies"]
    words.append("metric@protocol.metrics.fd=mine")
    assert [compose_words([*words, f"seed={n}"]).seed for n in range(3)] == [0, 1, 2]
    assert len(composed) == 1
    own.write_text("_target_: a.B\nx: 22\n")
    assert compose_words(words).protocol.metrics.fd.x == 22 and len(composed) == 2


def test_a_folder_that_is_too_large_or_runs_in_a_circle_is_left_to_hydra(tmp_path, monkeypatch):
    (tmp_path / "circle").symlink_to(tmp_path)
    words = ["method=copy", "dataset=babies", f"hydra.searchpath=[file://{tmp_path}]"]
    before = composition._kept.cache_info().currsize
    assert compose_words(words, ["hydra.job.chdir=false"]).k == compose_by_hydra(words).k
    assert composition._kept.cache_info().currsize == before
