"""Planted faults: each breaks exactly the promise that it should, and the sentence names it."""

import faulty_methods as faulty
import pytest
from PIL import Image

from fsig_bench.__main__ import main as command
from fsig_bench.faceworld.render import render
from fsig_bench.runner.contract import check_contract, main
from fsig_bench.runner.contract_cell import DEFAULTS, cell_to_check

IN_SHAPE = {"images_fit_at_one_shot", "images_fit_at_five_shots"}
STATE = {"the_state_survives_the_store"}
KILL, GLOBAL = {"a_killed_adaptation_continues"}, {"nothing_is_drawn_from_global_generators"}
PEEK, VALUES = {"the_reference_is_out_of_reach"}, {"values_stand_in_the_yaml"}
SEED = {"another_seed_gives_another_state"}
BATCH = {"image_i_does_not_depend_on_its_batch"}
FAULTS = {
    faulty.IgnoresTheSeed: (SEED, "give the same state"),
    faulty.IgnoresTheDraw: ({"another_draw_gives_other_images"}, "give the same images"),
    faulty.ImageDependsOnTheBatch: (BATCH, "image 4 in the batch"),
    faulty.AnotherImageInEveryCall: (BATCH | GLOBAL | STATE, None),
    faulty.RestartsAtZero: (KILL, "reports step 1 again in place of 3"),
    faulty.NeverLoads: (KILL, "never calls progress.load"),
    faulty.ForgetsWhatItLearnt: (KILL, "`mean` differs by up to"),
    faulty.OpensTheReference: (PEEK, "the dataset's `reference_at`"),
    faulty.LooksWhileSampling: (PEEK, "the fresh images of babies"),
    faulty.DrawsFromTorch: (GLOBAL, "`adapt` depends on the global random state"),
    faulty.DrawsFromNumpy: (GLOBAL, "images depend on the global random state"),
    faulty.SeedsTorch: (GLOBAL, "seeds torch's global random generator"),
    faulty.ChangesTheShots: ({"shots_stay_as_they_are"}, "`adapt` changes the shots in place"),
    faulty.HasADefault: (VALUES, "default values for strength"),
    faulty.CanBeChanged: (VALUES, "frozen=True"),
    faulty.TakesMore: ({"its_functions_take_what_they_are_given"}, "reference"),
    faulty.Wide: (IN_SHAPE, "return images in [-1, 1]"),
    faulty.Double: (IN_SHAPE, "return torch.float32"),
    faulty.OneImageForAll: ({"different_indices_give_different_images"}, "differ by at most 0"),
    faulty.RemembersOnItself: (STATE | SEED, "cannot draw from the stored state"),
    faulty.RemembersInItsModule: (STATE | SEED, "draws other images from the stored state"),
}


@pytest.fixture
def own(tmp_path):
    """Writes the YAML of a method; returns the words that check it."""

    def write(kind, *, card="uses_shots: true", **values):
        lines = [f"card: {{name: own, label: own, kind: method, {card}}}"]
        lines += [f"_target_: faulty_methods.{kind.__name__}", "steps: 6"]
        lines += [f"{key}: {value}" for key, value in values.items()]
        (tmp_path / "conf" / "method").mkdir(parents=True)
        (tmp_path / "conf" / "method" / "own.yaml").write_text("\n".join(lines) + "\n")
        return ["method=own", "--config-dir", str(tmp_path / "conf")]

    return write


def outcomes(words, verdict, *more):
    """The sentences of all promises with this verdict, by the name of the function."""
    found = check_contract(cell_to_check([words[0], *more], words[-1]))
    return {o.name: o.reason for o in found if o.verdict == verdict}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_fault_breaks_its_promise_and_no_other(kind, own):
    expected, words = FAULTS[kind]
    found = outcomes(own(kind), "BROKEN")
    assert set(found) == expected, found
    assert words is None or any(words in reason for reason in found.values()), found


def test_a_sound_method_keeps_all(own, capsys):
    assert main(own(faulty.Sound)) == 0
    assert "15 promises kept, 0 broken, 0 skipped" in capsys.readouterr().out


def test_the_command_says_in_sentences_what_is_broken(own, capsys):
    assert main(own(faulty.Double)) == 1
    text = capsys.readouterr().out
    assert "  BROKEN   With one shot, images are float32 on the CPU" in text
    assert "           The sampler returns torch.float64; return torch.float32, as by" in text
    assert "13 promises kept, 2 broken" in text


def test_a_setting_that_names_the_target_is_found(own):
    found = outcomes(own(faulty.KnowsTheTarget, domain="${dataset.domain}"), "BROKEN")
    assert set(found) == {"settings_do_not_name_the_target"}
    assert "method.domain=babies names the target" in found["settings_do_not_name_the_target"]


def test_a_method_may_refuse_a_number_of_shots(own):
    words = own(faulty.NeedsTwoShots)
    assert not outcomes(words, "BROKEN")
    skipped = outcomes(words, "skipped")
    assert set(skipped) == {"images_fit_at_one_shot"}
    assert "two shots are needed" in skipped["images_fit_at_one_shot"]


def test_an_exception_is_named_with_its_line(own):
    found = outcomes(own(faulty.Raises), "BROKEN")
    assert "the_state_survives_the_store" in found and VALUES.isdisjoint(found)
    for reason in found.values():
        assert "raises AttributeError (faulty_methods.py, line " in reason


def test_a_card_may_say_that_the_seed_is_ignored(own):
    words = own(faulty.IgnoresTheSeed, card="uses_shots: true, uses_seed: false")
    assert not outcomes(words, "BROKEN")


def test_a_card_that_wrongly_says_that_the_seed_is_ignored_is_refuted(own):
    found = outcomes(own(faulty.Sound, card="uses_shots: true, uses_seed: false"), "BROKEN")
    assert set(found) == SEED
    assert "`uses_seed: false`" in found["another_seed_gives_another_state"]


def test_only_a_control_may_need_fresh_target_images(own):
    found = outcomes(own(faulty.Sound, card="uses_shots: true, needs: [fresh]"), "BROKEN")
    assert set(found) == {"settings_do_not_name_the_target"}


def test_a_file_of_the_reference_cannot_be_opened(own, tmp_path):
    for folder, domain in (("shots", "babies"), ("held_out", "sketches")):
        (tmp_path / folder).mkdir()
        for n, image in enumerate(render(domain, "shots", range(6))[0]):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / folder / f"{n}.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "held_out" / "3.png")
    words = own(faulty.ReadsAFile, file=tmp_path / "link.png")
    more = ["dataset=folder", f"dataset.path={tmp_path / 'shots'}", "dataset.n_ref=null"]
    more.append(f"dataset.reference={tmp_path / 'held_out'}")
    found = outcomes(words, "BROKEN", *more)
    assert set(found) == PEEK and "held_out/3.png" in found[next(iter(PEEK))]
    allowed = f"method.file={tmp_path / 'shots' / '3.png'}"
    assert "the_reference_is_out_of_reach" not in outcomes(words, "BROKEN", *more, allowed)


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "no method is chosen"),
        (["method=copy", "--fast"], "'--fast'; write key=value"),
        (["method=copy", "--config-dir"], "--config-dir"),
        (["method=copy", "--config-dir=nowhere"], "no folder"),
        (["method=cridi"], "crdi"),
        (["method=crdi", "method.guidance=3"], "guidance"),
    ],
)
def test_wrong_words_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        main(words)


def test_help_says_what_stands_by_default(capsys):
    assert command(["check", "--help"]) == 0
    text = capsys.readouterr().out
    assert "fsig-bench check method=NAME [--config-dir DIR]" in text
    for key, value in DEFAULTS.items():
        assert f"{key}={value}" in text
