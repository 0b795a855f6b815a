"""The reference grid: one command, five parts, as many cells as the plan says."""

from types import SimpleNamespace

import pytest
from helpers import ROOT, make_cell
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from fsig_bench.sweep.plan import PlannedRun, plan_lines
from fsig_bench.sweep.sweeper import CellSweeper

PARTS = {"grid_main": 270, "grid_crossed": 54, "grid_crossed_sketches": 54, "grid_families": 96}
PARTS |= {"grid_shots": 36}


def jobs_of(*words):
    """The jobs that `fsig-bench -m WORDS` plans."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", list(words), RunMode.MULTIRUN)
        options = config.hydra.sweeper
        sweeper = CellSweeper.__new__(CellSweeper)  # Hydra's own part is of no use here
        sweeper.experiments, sweeper.params = options.experiments or (), options.params
        sweeper.config, sweeper.hydra_context = config, SimpleNamespace(config_loader=loader)
        return sweeper.all_jobs(list(words))


@pytest.fixture(scope="module")
def jobs():
    return jobs_of("experiment=grid")


def test_the_grid_is_the_jobs_of_its_parts(jobs):
    first = [next(word for word in job if word.startswith("experiment=")) for job in jobs]
    counts = {name: first.count(f"experiment={name}") for name in PARTS}
    assert counts == PARTS and len(jobs) == sum(PARTS.values())
    assert len(set(map(tuple, jobs))) == len(jobs)
    own = {frozenset(job) for job in jobs_of("experiment=grid_crossed")}
    assert own == {frozenset(job) for job in jobs if "experiment=grid_crossed" in job}


def test_what_is_typed_counts_in_every_part():
    some = jobs_of("experiment=grid", "method=crdi", "dataset=babies")
    assert len(some) == 5 + 18 + 18 + 3 + 4
    assert {"method=crdi", "dataset=babies"} <= set.intersection(*map(set, some))


def test_every_method_has_a_place_in_the_grid(jobs):
    there = {word for job in jobs for word in job if word.startswith("method=")}
    methods = {f"method={path.stem}" for path in (ROOT / "conf" / "method").glob("*.yaml")}
    assert methods - there == {"method=gan_adapt", "method=from_folder"} and there < methods


def test_the_last_job_of_each_part_can_run(jobs):
    for job in {job[0]: job for job in jobs}.values():
        assert make_cell(*job).config["controls"] == []


def test_main_runs_share_nothing_and_crossed_ones_go_on_from_them():
    main = make_cell("experiment=grid_main", "method=copy", "dataset=babies", "subset=1")
    assert (main.shots.subset, main.seed, main.draw) == (1, 1, 1)
    axes = ("subset=1", "seed=1", "draw=1")
    crossed = make_cell("experiment=grid_crossed", "method=copy", "dataset=babies", *axes)
    assert crossed.run_id == main.run_id


def test_the_crossed_targets_share_no_seed_and_no_draw():
    def levels(name, axis):
        jobs = jobs_of(f"experiment={name}")
        return {word for job in jobs for word in job if word.startswith(f"{axis}=")}

    for axis in ("seed", "draw"):
        own = [levels(name, axis) for name in ("grid_crossed", "grid_crossed_sketches")]
        assert all(own) and not set.intersection(*own)


def planned(method, draw, **keys):
    return PlannedRun(
        **{"suite": "none", "method": method, "dataset": "babies", "k": 10, "seed": 0},
        **{"draw": draw, "num_images": 100, "folder": f"runs/{draw}", "subset": 2},
        **keys,
    )


def test_the_plan_counts_a_shared_state_and_shared_samples_once(tmp_path, monkeypatch):
    from fsig_bench.sweep import plan

    cost = plan.Cost(adapt=600.0, sample=6.0, score=3.0)  # 10, 10 and 5 minutes
    monkeypatch.setattr(plan, "known_costs", lambda folder: {("none", "crdi"): cost})
    runs = [planned("crdi", d, state="s", samples=str(d)) for d in (0, 1)]
    again = planned("crdi", 2, state="s", samples="1")
    lines = plan_lines([(runs[0], False), (runs[1], False), (again, False)], tmp_path)
    assert [line.rpartition("about ")[2] for line in lines[:3]] == ["25 min", "15 min", "5 min"]
    assert "k=10 subset=2 seed=0" in lines[0] and "about 45 min" in lines[-1]
    made = plan_lines([(runs[1], False), (runs[0], True)], tmp_path)
    assert "about 15 min" in made[0]  # the state of the finished run is there


def test_methods_without_a_record_cost_what_the_committed_ones_say(tmp_path):
    run = PlannedRun(
        **{"suite": "mini", "method": "crdi", "dataset": "babies", "k": 10, "seed": 0},
        **{"draw": 0, "num_images": 500, "folder": "runs/x"},
    )
    line, total = plan_lines([(run, False)], tmp_path)
    assert "to do, about" in line and "committed ones, made on another machine" in total
