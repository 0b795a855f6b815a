"""What choosing the checkpoint gains: by hand, and what is refused."""

import pytest
from report_records import record

from fsig_bench.report.findings import selection

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


def test_the_table_holds_means_over_sets_of_shots():
    """Each target has a line of its own: its sets of shots are the units."""
    elsewhere = [r | {"dataset": "cats", "run_id": r["run_id"] + "c"} for r in runs()]
    both = selection.section(units([*runs(), *elsewhere]))[-1]
    assert both.count("| CRDI | babies | 2 |") == both.count("| CRDI | cats | 2 |") == 1
    text = "\n".join(selection.section(units(runs(), [study(0, 50), study(1, 100)])))
    # Gains 2 and 0: mean 1, and a half interval of 12.706 * sqrt(2) / sqrt(2).
    assert "| 2 | 50, **100**, 200 | 22.0 [-3.4, 47.4] | 1.0 [-11.7, 13.7] | " in text
    assert "| -1.5 [-20.6, 17.6] | -5.0 [-68.5, 58.5] |" in text


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


def test_the_fixed_number_is_that_of_the_yaml():
    assert selection.settings_of_yaml("finetune", "babies")["method.iterations"] > 0
