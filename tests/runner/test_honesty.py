"""Nothing may be chosen by what is reported: a method cannot reach the reference.

That each method adapts and samples without it stands in test_contract.py, behind these barriers.
"""

import inspect

import pytest
from barriers import bar_targets
from helpers import build, make_cell
from small_methods import METHODS, SMALL

from fsig_bench.api.images import to_float
from fsig_bench.api.types import NoProgress


def words_of(name):
    return [f"method={name}", *(w for w in SMALL.get(name, []) if "files" not in w)]


@pytest.mark.parametrize("name", [m for m in METHODS if m not in ("real", "from_folder")])
def test_another_reference_changes_no_stage_of_it(name):
    some, other = (
        make_cell(*words_of(name), "dataset=babies", f"dataset.n_ref={n}") for n in (2500, 300)
    )
    assert (some.adapt_key, some.sample_key) == (other.adapt_key, other.sample_key)
    assert some.run_id != other.run_id


def test_the_guard_would_catch_a_cheat(monkeypatch):
    """The barriers stop the control that is allowed to draw the target."""
    cell = make_cell("method=real", "dataset=babies", "k=3")
    bar_targets(monkeypatch)
    method = build(cell)
    state = method.adapt(to_float(cell.dataset.shots(3, 0)), seed=0, progress=NoProgress())
    with pytest.raises(AssertionError, match="beyond the shots"):
        method.sampler(state, draw=0)([0])
    assert "reference" not in inspect.signature(method.adapt).parameters
