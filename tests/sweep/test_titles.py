"""What a sweep calls its cells."""

import pytest
from helpers import composed

from fsig_bench.sweep.plan import PlannedRun
from fsig_bench.sweep.titles import cell_title, name_override, title_of, typed, varying_keys

RUN = PlannedRun(
    suite="mini",
    method="crdi",
    dataset="babies",
    k=10,
    seed=1,
    draw=0,
    num_images=24,
    folder="runs/x",
)


def test_a_title_holds_the_seed_and_whatever_varies():
    jobs = [
        ["method=crdi", "dataset=babies", f"seed={seed}", "num_images=24", f"k={k}"]
        for seed in (0, 1)
        for k in (5, 10)
    ]
    varying = varying_keys(jobs)
    assert varying == ["seed", "k"]
    assert cell_title(jobs[3], varying, RUN) == "crdi on babies, seed 1, k 10"


def test_a_title_holds_a_seed_that_does_not_vary_and_settings_as_typed():
    jobs = [["method=crdi", "dataset=babies", f"method.t_end={t}"] for t in (5, 6)]
    varying = varying_keys(jobs)
    assert cell_title(jobs[0], varying, RUN) == "crdi on babies, seed 1, method.t_end=5"
    assert cell_title(jobs[0], varying, None) == "crdi on babies, method.t_end=5"


@pytest.mark.parametrize("title", ["cell 1 of 2: a on b, x=[0.9, 1]", "a: dataset.path='my dir'"])
def test_a_title_passes_through_hydra(title):
    override = name_override(title)
    cfg = composed("method=copy", "dataset=babies", override)
    assert "hydra" not in cfg  # composed without an error, and no setting of the run
    assert title_of(["method=copy", override]) == title.replace("'", "")


def test_signs_with_a_meaning_in_an_override_leave_the_title():
    assert name_override("x=${seed}, y='a\\'") == "hydra.job.name='x={seed}, y=a'"
    assert title_of(["method=copy", "controls=[]"]) == typed(["method=copy"]) == "method=copy"
