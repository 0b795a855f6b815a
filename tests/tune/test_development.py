"""Settings chosen with a reference: on development targets only, by distance and copies."""

import json
import math
import shlex
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import yaml
from helpers import ROOT, composed, make_cell

from fsig_bench.api import State
from fsig_bench.faceworld.domains import DEVELOPMENT
from fsig_bench.faceworld.reader import FactorReader
from fsig_bench.metrics.frechet import frechet_distance
from fsig_bench.store.store import Store
from fsig_bench.tune import __main__ as tune
from fsig_bench.tune.candidates import parse_request, present_settings
from fsig_bench.tune.development import measure, targets_of
from fsig_bench.tune.plans import read_plan, with_plan
from fsig_bench.tune.ranges import parse
from fsig_bench.tune.space import present_point
from fsig_bench.tune.study import Study, optuna_package, way_of_suggesting
from fsig_bench.tune.trials import Part

SMALL = ["method=source", "k=2", "samples=40", "dataset.n_ref=100", "method.num_steps=choice(2,3)"]


def test_a_study_looks_at_every_development_target_and_subset(tmp_path, capsys, monkeypatch):
    seen = []

    def measured(cell, store, of):
        seen.append((cell.dataset.name, cell.shots.subset, of))
        assert sorted(cell.protocol.metrics) == ["copy_rate", "fd"]
        assert cell.samples.num_scored == 40
        steps = cell.method.spec["num_steps"]
        return Part(of=of, value=steps + 10 * of[0] + of[1], check=0.5 * of[1])

    monkeypatch.setattr("fsig_bench.tune.development.measure", measured)
    words = ["objective=reference", "dataset=dev", *SMALL, "subsets=2", "trials=2"]
    assert tune.main([*words, f"results_dir={tmp_path}"]) == 0
    (path,) = (tmp_path / "tune").glob("source-dev-*.json")
    result, out = json.loads(path.read_text()), capsys.readouterr().out
    cells = [(d, n, (i, n)) for i, d in enumerate(DEVELOPMENT) for n in (0, 1)]
    assert seen == cells * 2
    assert result["uses"] == "shots and references of elders, pixelart"
    assert result["uses"] in out and result["copying"] is None
    best, other = result["trials"]
    assert best["settings"] == {"method.num_steps": "2"} and best["objective"] == 2 + 5 + 0.5
    assert other["objective"] == 8.5 and other["copy_rate"] == 0.25
    assert [c["of"] for c in best["cells"]] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    words = shlex.split(result["command"])
    assert "dataset=elders" in words and "method.num_steps=2" in words


def test_the_objective_is_the_log_of_the_distance_plus_the_copies(tmp_path):
    words = ["method=copy", "dataset=elders", "k=2", "num_images=40", "dataset.n_ref=100"]
    cell = make_cell(*words, "controls=[]")
    kept = {name: cell.protocol.metrics[name] for name in ("fd", "copy_rate")}
    cell = replace(cell, protocol=replace(cell.protocol, metrics=kept))
    part = measure(cell, Store(tmp_path), (0, 0))
    reader = FactorReader(weights="baselines/weights/mini/reader.safetensors", trunk_maps=4)
    shots, real = cell.dataset.shots(2, 0), cell.dataset.reference_at(range(100))
    distance = frechet_distance(
        fake=reader.features(shots.repeat(20, 1, 1, 1)), real=reader.features(real)
    )
    assert part.check == 1 and part.of == (0, 0)
    assert part.value == pytest.approx(math.log(distance) + 1, rel=1e-4)


def test_samples_that_are_no_images_fail_the_trial_and_not_the_search(tmp_path, monkeypatch):
    cell = make_cell("method=copy", "dataset=elders", "k=2", "num_images=40", "controls=[]")
    broken = SimpleNamespace(
        adapt=lambda *_, **__: State(tensors={}, seed=0, trained_params=0, nfe_adapt=0),
        sampler=lambda *_, **__: lambda indices: torch.full((len(indices), 3, 64, 64), math.nan),
        nfe_per_image=1,
    )
    monkeypatch.setattr("fsig_bench.runner.build.build_method", lambda *_: broken)
    with pytest.raises(FloatingPointError, match="samples cannot be scored"):
        measure(cell, Store(tmp_path), (0, 0))


@pytest.mark.parametrize("dataset", ["babies", "sketches", "adults", "folder"])
def test_targets_that_are_reported_are_barred(dataset, tmp_path):
    words = ["objective=reference", f"dataset={dataset}", *SMALL, f"results_dir={tmp_path}"]
    with pytest.raises(ValueError, match=f"dataset={dataset}: objective=reference looks at"):
        tune.main(words)
    assert not (tmp_path / "tune").exists()


def test_one_development_target_may_be_named():
    assert targets_of(["dataset=dev", "k=5"]) == (["k=5"], DEVELOPMENT)
    assert targets_of(["dataset=pixelart"]) == ([], ("pixelart",))
    with pytest.raises(ValueError, match="give dataset=dev or one of elders, pixelart"):
        targets_of(["k=5"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["objective=fid"], "objective=fid: choose one of shots, reference"),
        (["objective=reference", "held=3"], "held=3 has no meaning with objective=reference"),
        (["subsets=3"], "subsets=3 has no meaning with objective=shots"),
        (["objective=shots", "objective=shots"], "objective is given more than once"),
    ],
)
def test_words_of_the_other_objective_are_refused(words, said):
    with pytest.raises(ValueError, match=said):
        parse_request(["method.lr=interval(1,2)", *words])


def test_a_protocol_without_the_distances_is_refused(tmp_path):
    words = ["objective=reference", "dataset=dev", "protocol=cdc2021", *SMALL]
    with pytest.raises(
        ValueError, match="protocol=cdc2021 has no copy_rate, which objective=reference needs"
    ):
        tune.main([*words, f"results_dir={tmp_path}"])


@pytest.mark.parametrize("method", read_plan("mini")["spaces"])
def test_every_search_of_the_plan_can_begin(method, tmp_path):
    words = with_plan([f"method={method}", "plan=mini", f"results_dir={tmp_path}"])
    request = parse_request(words)
    problem = tune.prepare(request, Store(tmp_path))
    assert (request.trials, request.objective, problem.steps) == (8, "reference", 2)
    way = way_of_suggesting(problem.space, trials=request.trials, startup=request.startup)
    assert way == "drawn at random"  # as docs/tuning.md says
    assert problem.first is not None  # the settings as they stand lie in the space


def test_what_is_typed_counts_before_the_plan(tmp_path):
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "own.yaml").write_text(
        "words: {trials: 3}\nspaces: {copy: {method.a: 'choice(1,2)'}}"
    )
    words = with_plan(["plan=own", "method=copy", "trials=5", "k=2"], tmp_path)
    assert words == ["method=copy", "trials=5", "k=2", "method.a=choice(1,2)"]
    assert with_plan(["method=copy", "k=2"]) == ["method=copy", "k=2"]
    with pytest.raises(ValueError, match="plan=mine: choose one of mini, own"):
        with_plan(["plan=mine"], tmp_path)
    with pytest.raises(ValueError, match="method=source: plan=mini has ranges for crdi"):
        with_plan(["plan=mini", "method=source"])
    (tmp_path / "tune" / "own.yaml").write_text("spaces: {}")
    with pytest.raises(ValueError, match="two mappings `words` and `spaces`"):
        with_plan(["plan=own"], tmp_path)


def test_a_choice_that_is_a_number_is_no_truth_value():
    from fsig_bench.tune.space import choice_of

    assert choice_of(1.0, ["0.3", "1"]) == "1" and choice_of(0, ["false", "0.0"]) == "0.0"
    assert choice_of(True, ["1", "true"]) == "true" and choice_of(None, ["null"]) == "null"
    assert choice_of("lda", ["lda", "logreg"]) == "lda" and choice_of(1.0, ["true"]) is None


STUDIES = sorted((ROOT / "results" / "tuning" / "mini").glob("*.json"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_the_mini_suite_holds_what_the_committed_search_found(path):
    study = json.loads(path.read_text())
    plan = yaml.safe_load((ROOT / "conf" / "tune" / "mini.yaml").read_text())
    assert study["space"].keys() == plan["spaces"][path.stem].keys()
    assert len(study["trials"]) == plan["words"]["trials"]
    assert study["samples"] == plan["words"]["samples"]
    assert study["fixed"] == ["dataset=dev", f"method={path.stem}"]  # no path of a machine
    best = min(study["trials"], key=lambda t: t["objective"])
    assert best["number"] == study["best"]
    settings = present_settings(composed(f"method={path.stem}", "dataset=elders"))
    found = {key: str(yaml.safe_load(str(settings[key]))) for key in best["settings"]}
    assert found == {k: str(yaml.safe_load(v)) for k, v in best["settings"].items()}


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_the_page_shows_what_the_committed_search_found(path):
    trials = json.loads(path.read_text())["trials"]
    by_value = sorted(trials, key=lambda t: t["objective"])
    first = next(t for t in trials if t["number"] == 0)
    values = [first["objective"], by_value[0]["objective"], by_value[-1]["objective"]]
    cells = [path.stem, *(f"{v:.3f}" for v in [*values, by_value[0]["copy_rate"]])]
    page = (ROOT / "docs" / "tuning.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {path.stem} |")]
    assert row.startswith("| " + " | ".join(cells) + " |")
    changed = {k.removeprefix("method."): v for k, v in by_value[0]["settings"].items()}
    kept = by_value[0] is first
    assert all((f"{k}={v}" in row) is not kept for k, v in changed.items())


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_the_committed_searches_drew_at_random(path, tmp_path):
    """The plan's command tries the settings of the file again, in its order, whatever they give."""
    study = json.loads(path.read_text())
    if optuna_package().__version__ != study["optuna"]:
        pytest.skip(f"the file was made by Optuna {study['optuna']}, whose draws may be others")
    space = tuple(parse(f"{key}={word}") for key, word in study["space"].items())
    told = {t["number"]: t["settings"] for t in study["trials"]}
    first = {key: yaml.safe_load(value) for key, value in told[0].items()}
    words = yaml.safe_load((ROOT / "conf" / "tune" / "mini.yaml").read_text())["words"]
    again = Study(
        name="again",
        space=space,
        first=present_point(space, first),
        steps=2,
        startup=words["startup"],
        seed=0,
        store=Store(tmp_path),
    )
    tried = []

    def evaluate(settings, known):
        tried.append(settings)
        return iter([Part(of=(n,), value=1.0, check=0.0) for n in range(2)])

    again.search(evaluate, words["trials"], lambda trial: None)
    assert tried == [told[number] for number in sorted(told)]
