"""What choosing the checkpoint gains: by hand, and what is refused."""

import math
import re

import pytest
from omegaconf import OmegaConf
from report_records import record

from fsig_bench.api.places import CONF
from fsig_bench.report.findings import selection, text_selection
from fsig_bench.runner.compose import compose_config

DISTANCES = {  # steps -> (first draw, second draw), on two sets of shots
    0: {50: (30.0, 31.0), 100: (20.0, 22.0), 200: (18.0, 25.0)},
    1: {50: (28.0, 27.0), 100: (24.0, 26.0), 200: (25.0, 23.0)},
}
FIXED = {"method.iterations": 100}


def run(steps, subset, draw, value, **more):
    one = record(metrics={"fd": {"value": value}})
    one |= {"subset": subset, "seed": subset, "draw": draw, "run_id": f"{steps}{subset}{draw}"}
    method = {**one["config"]["method"], "iterations": steps, **more}
    one["config"] = {**one["config"], "method": method}
    return one


def runs():
    return [
        run(steps, subset, draw, value)
        for subset, by_steps in DISTANCES.items()
        for steps, values in by_steps.items()
        for draw, value in enumerate(values)
    ]


def study(subset, steps):
    one = record()
    words = [f"method={one['method']}", f"dataset={one['dataset']}"]
    return {
        "fixed": [*words, f"subset={subset}", f"seed={subset}"],
        "best": 3,
        "trials": [
            {"number": 2, "settings": {"method.iterations": "200"}},
            {"number": 3, "settings": {"method.iterations": str(steps)}},
        ],
    }


def units(records, studies=()):
    return selection.units_of(records, studies, lambda method, dataset: FIXED)


def test_gains_by_hand():
    first, second = units(runs(), [study(0, 50)])
    assert (first.best, first.gain(first.best), first.gain(first.best, 1)) == (200, 2.0, -3.0)
    assert (second.best, second.gain(second.best)) == (100, 0.0)
    assert (first.on_shots, first.gain(50)) == (50, -10.0) and second.on_shots is None
    # 30 - 18 on the draw that chose, 31 - 25 on the other one.
    assert (first.edge(), first.edge(1)) == (12.0, 6.0) and second.edge() is None


def test_the_table_holds_means_over_sets_of_shots():
    """Each target has a line of its own: its sets of shots are the units."""
    elsewhere = [r | {"dataset": "cats", "run_id": r["run_id"] + "c"} for r in runs()]
    both = text_selection.section(units([*runs(), *elsewhere]))[-1]
    assert both.count("| CRDI | babies | 2 |") == both.count("| CRDI | cats | 2 |") == 1
    text = "\n".join(text_selection.section(units(runs(), [study(0, 50), study(1, 100)])))
    # Gains 2 and 0: mean 1, and a half interval of 12.706 * sqrt(2) / sqrt(2); no gain is below 0.
    assert "| 2 | 50, **100**, 200 | 22.0 [-3.4, 47.4] | 1.0 [0.0, 13.7] | " in text
    assert "| -1.5 [-20.6, 17.6] | -5.0 [-68.5, 58.5] |" in text
    # Best minus on the shots: 12 and 0 on the draw that chose, 6 and 0 on the other one.
    assert text.rstrip().endswith("| 6.0 [0.0, 82.2] | 3.0 [-35.1, 41.1] |")


def test_what_a_second_draw_does_not_take_away_is_said():
    text = "\n".join(text_selection.section(units(runs())))
    assert "Both draws are scored against the same reference images" in text
    assert "a gain by chance is lost" not in text and "can be negative" in text
    assert "conf/experiment/checkpoints.yaml" in text_selection.section([])[1]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"method\.iterations, method\.lr; name one setting"):
        units([*runs(), run(50, 0, 0, 1.0, lr=0.1)])
    with pytest.raises(ValueError, match=r"no run has the YAML's method\.iterations=100"):
        units([r for r in runs() if r["config"]["method"]["iterations"] != 100])
    with pytest.raises(ValueError, match=r"no run has the study's method\.iterations=70"):
        units(runs(), [study(0, 70)])
    with pytest.raises(ValueError, match="were not scored alike"):
        units([*runs(), run(200, 0, 0, 1.0) | {"k": 5}])
    apart = [run(100, 0, 0, 1.0), run(200, 0, 1, 1.0)]
    with pytest.raises(ValueError, match="no draw in common"):
        units(apart)
    with pytest.raises(ValueError, match="differ in nothing"):
        units([run(100, 0, 0, 1.0)])


SWEEP = re.compile(
    r"^# fsig-bench -m experiment=checkpoints method=(\S+) (method\.\w+)=(\S+)$", re.M
)
TEXT = (CONF / "experiment" / "checkpoints.yaml").read_text()
SWEEPS = [
    (method, key, values.split(","))
    for methods, key, values in SWEEP.findall(TEXT)
    for method in methods.split(",")
]


def test_the_header_names_the_steps_of_three_methods():
    assert [(method, key) for method, key, _ in SWEEPS] == [
        ("finetune", "method.iterations"),
        ("domainstudio", "method.iterations"),
        ("rs_imle", "method.max_iterations"),
    ]
    # What is chosen on the shots is chosen among the same numbers.
    assert SWEEPS[0][2] == re.search(r"choice\(([\d,]+)\)", TEXT)[1].split(",")


@pytest.mark.parametrize(("method", "key", "values"), SWEEPS, ids=[s[0] for s in SWEEPS])
def test_the_steps_of_the_header_compose_and_hold_the_suites_own(method, key, values):
    own = selection.settings_of_yaml(method, "babies")
    assert str(own[key]) in values
    for value in values:
        words = ["experiment=checkpoints", f"method={method}", f"{key}={value}"]
        config = compose_config([*words, "suite=mini", "dataset=babies"])
        assert str(OmegaConf.select(config, key)) == value
        if method == "rs_imle":  # stops at the end of its epochs, whatever the limit is
            each = math.ceil(config.k / config.method.batch)  # iterations of an epoch
            assert int(value) <= config.method.epochs * each


def test_the_fixed_number_is_that_of_the_yaml():
    assert selection.settings_of_yaml("finetune", "babies")["method.iterations"] > 0
