"""The contract: what every conf/method/*.yaml must keep."""

import pytest
from barriers import bar_targets
from helpers import make_cell
from PIL import Image
from small_methods import METHODS, SMALL

from fsig_bench.faceworld.render import render
from fsig_bench.runner.contract import check_promise, promises
from fsig_bench.runner.contract_trial import Trial

# Methods that keep no checkpoint, since adapting takes them no step or one.
AT_ONCE = {"copy", "real", "from_folder", "source", "d2c", "d2c_edit", "d2c_prior", "genda"}
AT_ONCE |= {"guided", "patch_score"}
SKIPPED = {(name, "a_killed_adaptation_continues") for name in AT_ONCE}
SKIPPED |= {(name, "another_draw_gives_other_images") for name in ("copy", "from_folder")}
SKIPPED |= {("real", "settings_do_not_name_the_target")}
PROMISES = {promise.__name__: promise for promise in promises()}


@pytest.fixture(scope="module", autouse=True)
def made_elsewhere(tmp_path_factory):
    """A folder for `from_folder`."""
    folder = tmp_path_factory.mktemp("made_elsewhere")
    for n, image in enumerate(render("adults", "fresh", range(12))[0]):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{n}.png")
    SMALL["from_folder"] = [f"method.images.files={folder}", "num_images=12"]


@pytest.fixture(scope="module")
def trials():
    """One trial a method: its adaptations serve all promises."""
    return {}


def trial_of(name, trials):
    if name not in trials:
        trials.clear()  # the states of one method at a time
        words = ["dataset=babies", "k=2", "seed=3", "device=cpu", *SMALL.get(name, [])]
        trials[name] = Trial(make_cell(f"method={name}", *words))
    return trials[name]


@pytest.mark.parametrize("promise", PROMISES)  # all of one method before the next
@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps(name, promise, trials, monkeypatch):
    if name != "real":
        bar_targets(monkeypatch)
    outcome = check_promise(PROMISES[promise], trial_of(name, trials))
    expected = "skipped" if (name, promise) in SKIPPED else "kept"
    assert outcome.verdict == expected, outcome.reason
