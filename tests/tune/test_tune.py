"""Tuning: the objective sees the shots alone, and a study goes on where it was stopped."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, composed
from hypothesis import given, settings
from hypothesis import strategies as st

import fsig_bench.faceworld.images
import fsig_bench.faceworld.render
from fsig_bench.api.images import to_uint8
from fsig_bench.api.types import State
from fsig_bench.faceworld.dataset import FaceworldDataset
from fsig_bench.store.lock import is_held
from fsig_bench.store.shared import SharedWork
from fsig_bench.store.store import Store
from fsig_bench.tune import __main__ as tune
from fsig_bench.tune.candidates import (
    candidate_cell,
    check_space,
    parse_request,
    present_settings,
    study_name,
    without_reference,
)
from fsig_bench.tune.leave_out import (
    SharingProgress,
    copying_score,
    folds,
    leave_out,
    mean_nearest,
)
from fsig_bench.tune.ranges import in_present_words, outdated, parse
from fsig_bench.tune.space import (
    Dimension,
    end_points,
    fit_to_setting,
    present_point,
    typed_values,
    whole_grid,
)
from fsig_bench.tune.study import Study, way_of_suggesting
from fsig_bench.tune.trials import Part, best_of, mean_check, objective, ranked


class TestSpace:
    @pytest.mark.parametrize(
        ("word", "kind", "ends", "count"),
        [
            ("method.lr=tag(log,interval(1e-5,1e-3))", "real", (1e-5, 1e-3), None),
            ("method.l=interval( -1, .5 )", "real", (-1.0, 0.5), None),
            ("method.l=interval(0,1)", "real", (0.0, 1.0), None),
            ("method.n=range(50,401,50)", "whole", (50, 400), 8),
            ("method.n=range(50,450,50)", "whole", (50, 400), 8),
            ("method.n=range(400,0,-50)", "whole", (50, 400), 8),
            ("method.n=range(3)", "whole", (0, 2), 3),
            ("method.n=tag(log,range(1,9))", "whole", (1, 8), 8),
            ("method.x=range(0,1,0.25)", "choice", ("0.0", "0.25", "0.5", "0.75"), 4),
            ("method.a.kind=choice(ddim,ancestral)", "choice", ("ddim", "ancestral"), 2),
            ("method.a.kind=ddim,null", "choice", ("ddim", "null"), 2),
            ("method/objective=choice(paper,code)", "choice", ("paper", "code"), 2),
            ("method.betas=choice([0.9,0.9],[0.5,0.9])", "choice", ("[0.9,0.9]", "[0.5,0.9]"), 2),
        ],
    )
    def test_ranges(self, word, kind, ends, count):
        d = parse(word)
        assert (d.key, d.kind, d.count) == (word.partition("=")[0], kind, count)
        assert (d.ends if kind == "choice" else (d.low, d.high)) == ends
        assert d.log == ("log" in word)
        assert parse(f"{d.key}={d}") == d  # as it is written, so it is read

    @pytest.mark.parametrize(
        ("older", "now"),
        [
            ("method.lr=log(1e-5,1e-3)", "method.lr=tag(log,interval(1e-5,1e-3))"),
            ("method.l=lin( -1, .5 )", "method.l=interval( -1, .5 )"),
            ("method.n=50:400:50", "method.n=range(50,401,50)"),
            ("method.n=-1:1", "method.n=range(-1,2,1)"),
            ("method.a=[ddim,null]", "method.a=ddim,null"),
            ("method/objective=[paper]", "method/objective=choice(paper)"),
            ("method.betas=[[0.9,0.9],[0.5,0.9]]", "method.betas=[0.9,0.9],[0.5,0.9]"),
            ("method.betas=[[0.9,0.9]]", "method.betas=choice([0.9,0.9])"),
        ],
    )
    def test_older_words_are_read_as_what_they_are_called_now(self, older, now):
        assert in_present_words(older) == now and parse(older) == parse(now) is not None
        assert outdated(["k=5", older, now]) == [(older, now)]

    @pytest.mark.parametrize(
        "word",
        [
            "k=5",
            "method=crdi",
            "controls=[source,copy]",
            "dataset.shots_list=[a,b]",
            "dataset.path=~/x",
        ],
    )
    def test_everything_else_is_an_override(self, word):
        assert parse(word) is None

    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("method.lr=log(0,1)", "above 0"),
            ("method.lr=log(1e-3,1e-5)", "range is empty"),
            ("method.lr=log(1e-3)", "two numbers"),
            ("method.lr=interval(a,b)", "two numbers"),
            ("method.lr=interval(1e-3,1e-5)", "range is empty"),
            ("method.lr=interval(0,inf)", "no end"),
            ("method.lr=interval(0,1", "two numbers"),
            ("method.lr=tag(logarithm,interval(1,2))", "no tag but log"),
            ("method.n=range(4,5)", "range is empty"),
            ("method.n=range(4,4)", "range is empty"),
            ("method.n=range(1,5,0)", "step"),
            ("method.n=tag(log,range(0,5))", "above 0"),
            ("method.n=tag(log,range(1,5,2))", "step"),
            ("method.a=shuffle(choice(x,y))", "order"),
            ("method/objective=glob(*)", "choices out"),
            ("method.a=[x,x]", "different"),
            ("method.a=x,x", "different"),
            ("method.a=choice(x,'')", "empty"),
            ("method.a=[x,]", "choice"),
            ("method.a=[[x,y]", "choice"),
            ("method.a=choice(x,null)", "A,B where"),
            ("seed=0:2", "one value of each"),
            ("seed=0,1", "one value of each"),
            ("protocol.version=interval(1,2)", "one value of each"),
        ],
    )
    def test_malformed_ranges_are_named(self, word, said):
        with pytest.raises(ValueError, match=said) as error:
            parse(word)
        assert word.partition("=")[2] in str(error.value)

    @settings(max_examples=100, deadline=None)
    @given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.floats(0, 1))
    def test_reals_are_typed_as_they_are_run(self, a, b, t):
        low, high = sorted((a, b))
        if low == high:
            return
        d = Dimension(key="method.x", kind="real", low=low, high=high)
        value = min(high, low + t * (high - low))
        text = d.text(value)
        assert low <= float(text) <= high and float(text) == pytest.approx(value, rel=1e-3)
        assert d.text(float(text)) == text

    def test_whole_settings_stay_whole_and_lists_stay_lists(self):
        d = fit_to_setting(parse("method.n=tag(log,interval(50,400))"), 150)
        assert (d.kind, d.low, d.high, d.log, d.text(77)) == ("whole", 50, 400, True, "77")
        assert fit_to_setting(parse("method.n=tag(log,interval(50,400))"), 1.5).kind == "real"
        assert fit_to_setting(parse("method.flag=interval(0,1)"), True).kind == "real"
        with pytest.raises(ValueError, match="whole number"):
            fit_to_setting(parse("method.n=interval(0.5,4)"), 150)
        with pytest.raises(ValueError, match="method.n=x: it is a number"):
            fit_to_setting(parse("method.n=2,null,x"), 150)
        with pytest.raises(ValueError, match="choice"):
            fit_to_setting(parse("method.betas=0.9,0.5"), [0.9, 0.9])
        listed = parse("method.betas=choice([0.9,0.5],[0.9,0.9])")
        assert fit_to_setting(listed, [0.9, 0.9]) == listed

    def test_points(self):
        space = [parse("method.n=range(1,4)"), parse("method.a=x,null")]
        assert len(whole_grid(space, 6)) == 6 and whole_grid(space, 5) is None
        assert whole_grid([*space, parse("method.l=interval(0,1)")], 10**6) is None
        seen = [(p["method.n"], p["method.a"]) for p in end_points(space)]
        assert {n for n, _ in seen} == {"1", "3"} and {a for _, a in seen} == {"x", "null"}
        assert present_point(space, {"method.n": 2, "method.a": None}) == {
            "method.n": 2,
            "method.a": "null",
        }
        assert present_point(space, {"method.n": 9, "method.a": None}) is None
        assert present_point(space, {"method.n": "${k}", "method.a": None}) is None
        assert typed_values(space, {"method.n": 2, "method.a": "x"}) == {
            "method.n": "2",
            "method.a": "x",
        }


class Flat:
    """A perceptual network for which an image is its first pixel."""

    name = "flat"

    def perceive(self, images):
        return images[:, :, 0, 0].mean(1, keepdim=True)


class Replay:
    """Image i is shot i mod k; remembers what it was shown."""

    def __init__(self):
        self.shown = []

    def adapt(self, shots, *, seed, progress):
        self.shown.append(to_uint8(shots))
        return State(tensors={"shots": shots}, seed=seed, trained_params=0, nfe_adapt=0)

    def sampler(self, state, *, draw):
        shots = state.tensors["shots"]
        return lambda indices: shots[[i % len(shots) for i in indices]]


ZERO = {"seed": 0, "draw": 0}


def grey(*levels):
    """Images of one grey each, uint8 [n, 3, 4, 4]."""
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)


class TestObjective:
    @settings(max_examples=100, deadline=None)
    @given(st.integers(2, 40), st.data())
    def test_folds_leave_every_shot_out_once(self, k, data):
        held = data.draw(st.integers(1, max(k // 2, 1)))
        found = folds(k, held, seed=data.draw(st.integers(0, 99)))
        assert sorted(i for fold in found for i in fold) == list(range(k))
        assert len(found) == -(-k // held)
        sizes = {len(fold) for fold in found}
        assert max(sizes) <= held and max(sizes) - min(sizes) <= 1

    def test_folds_follow_the_seed(self):
        assert folds(10, 2, 0) == folds(10, 2, 0) != folds(10, 2, 1)
        assert len(folds(10, 2, 0)) == 5

    @pytest.mark.parametrize(("k", "held"), [(1, 1), (1, 2), (5, 5), (5, 3), (5, 0)])
    def test_nothing_to_leave_out_is_refused(self, k, held):
        with pytest.raises(ValueError, match=f"held={held} of k={k}"):
            folds(k, held, 0)

    def test_nearest(self):
        distances = torch.tensor([[1.0, 5.0, 2.0], [3.0, 4.0, 0.0]])
        assert mean_nearest(distances, [1]) == (4.0, 0.5)
        assert mean_nearest(distances, [0, 1]) == (2.5, 0.0)

    def test_a_replay_is_far_from_what_it_has_not_seen(self):
        """Greys 0, 51, 153 and 255 are -1, -0.6, 0.2 and 1: by hand."""
        method, shots = Replay(), grey(0, 51, 153, 255)
        seen = list(
            leave_out(
                method,
                shots,
                Flat(),
                splits=[(0,), (1, 3)],
                samples=5,
                seed=0,
                draw=0,
                batch_size=2,
            )
        )
        assert torch.equal(method.shown[0], shots[1:])
        assert torch.equal(method.shown[1], shots[[0, 2]])
        assert seen[0].value == pytest.approx(0.4**2, abs=1e-6)
        assert seen[1].value == pytest.approx((0.4**2 + 0.8**2) / 2, abs=1e-6)
        assert mean_check(seen) == pytest.approx(0, abs=1e-6)
        assert objective(seen) == pytest.approx((0.16 + 0.4) / 2, abs=1e-6)

    def test_a_replay_scores_as_it_was_foretold(self):
        shots, splits = grey(0, 51, 153, 255), folds(4, 1, 0)
        seen = leave_out(
            Replay(), shots, Flat(), splits=splits, samples=6, seed=0, draw=0, batch_size=4
        )
        foretold = copying_score(shots, Flat(), splits=splits, batch_size=4)
        assert objective(list(seen)) == pytest.approx(foretold, abs=1e-9)
        assert foretold == pytest.approx((0.16 + 0.16 + 0.64 + 0.64) / 4, abs=1e-6)

    def test_a_generous_method_beats_the_replay(self):
        class Spread(Replay):
            def sampler(self, state, *, draw):
                return lambda indices: torch.stack(
                    [torch.full((3, 4, 4), i / 20 - 1) for i in indices]
                )

        shots = grey(0, 51, 153, 255)
        by = {"splits": folds(4, 1, 0), "samples": 41, "seed": 0, "draw": 0, "batch_size": 7}
        spread, copies = (list(leave_out(m(), shots, Flat(), **by)) for m in (Spread, Replay))
        assert objective(spread) < 0.01 < objective(copies)
        assert mean_check(copies) < 1e-6

    def test_samples_that_are_no_images_count_as_divergence(self):
        class Broken(Replay):
            def sampler(self, state, *, draw):
                return lambda indices: torch.full((len(indices), 3, 4, 4), torch.nan)

        with pytest.raises(FloatingPointError, match="NaN"):
            list(
                leave_out(
                    Broken(),
                    grey(0, 9),
                    Flat(),
                    splits=[(0,)],
                    samples=2,
                    seed=0,
                    draw=0,
                    batch_size=2,
                )
            )

    def test_what_shots_do_not_change_is_made_once(self, tmp_path):
        calls = []

        def compute():
            calls.append(1)
            return torch.ones(2)

        for _ in range(2):
            assert torch.equal(
                SharingProgress(Store(tmp_path), "fp32", []).shared(["a", 1], compute),
                torch.ones(2),
            )
        assert len(calls) == 1

    def test_what_was_made_in_another_precision_is_not_taken(self, tmp_path):
        """Each stage's own: a bank of bf16 must never serve a run in fp32."""

        class Sharing(Replay):
            def adapt(self, shots, *, seed, progress):
                found["adapt"] = float(progress.shared(["bank"], lambda: torch.ones(1)))
                return super().adapt(shots, seed=seed, progress=progress)

            def sharing_sampler(self, state, *, draw, shared):
                found["sample"] = float(shared(["bank"], lambda: torch.zeros(1)))
                return self.sampler(state, draw=draw)

        store, found = Store(tmp_path), {}
        of_fp32 = SharedWork(store).full_key(["bank"])
        store.shared(of_fp32, lambda: torch.full((1,), 7.0))
        for adapt, drawn, expected in (("bf16", "fp16", (1, 0)), ("fp32", "bf16", (7, 1))):
            list(
                leave_out(
                    Sharing(),
                    grey(0, 9),
                    Flat(),
                    splits=[(0,)],
                    samples=2,
                    seed=0,
                    draw=0,
                    batch_size=2,
                    progress=SharingProgress(store, adapt, []),
                    shared=SharedWork(store, drawn),
                )
            )
            assert (found["adapt"], found["sample"]) == expected


def folds_of(value, count=3):
    return [Part(of=(n,), value=value, check=value / 2) for n in range(count)]


def study_of(tmp_path, *words, first=None, seed=0, startup=10):
    settings = {"space": tuple(map(parse, words)), "first": first, "seed": seed}
    return Study(name="toy", steps=3, startup=startup, store=Store(tmp_path), **settings)


class TestStudy:
    def search(self, study, trials, value=lambda w: float(w["method.x"])):
        """The words of the trials that were evaluated, in order."""
        asked = []

        def evaluate(words, known):
            asked.append(dict(words))
            return iter(folds_of(value(words))[known:])

        study.search(evaluate, trials, lambda t: None)
        return asked

    def test_stopped_and_continued_it_is_the_study_that_was_not_stopped(self, tmp_path):
        word = "method.x=interval(0,1)"
        whole = self.search(study_of(tmp_path / "a", word), 13)
        parts = [self.search(study_of(tmp_path / "b", word), n) for n in (4, 4, 13)]
        assert [len(p) for p in parts] == [4, 0, 9]
        assert parts[0] + parts[2] == whole
        assert len({w["method.x"] for w in whole}) == 13
        assert self.search(study_of(tmp_path / "c", word, seed=1), 4) != whole[:4]

    def asked_with(self, folder, word, *, startup, sign=1, trials=12):
        study = study_of(folder, word, startup=startup)
        return self.search(study, trials, lambda w: sign * float(w["method.x"]))

    def test_values_count_once_the_startup_is_over(self, tmp_path):
        word = "method.x=interval(0,1)"
        up, down = (self.asked_with(tmp_path / f"{s}", word, startup=6, sign=s) for s in (1, -1))
        whole = self.asked_with(tmp_path / "whole", word, startup=12)
        assert up[:6] == down[:6] == whole[:6] and up[6:] != down[6:]
        assert whole == self.asked_with(tmp_path / "down", word, startup=99, sign=-1)

    def test_settings_that_come_again_do_not_shorten_the_startup(self, tmp_path):
        """Of 12 values, some come again before 8 different ones are tried."""
        words = {"word": "method.x=range(1,13)", "trials": 8, "startup": 8}
        up, down = (self.asked_with(tmp_path / f"{s}", sign=s, **words) for s in (1, -1))
        assert up == down and len(up) == 8
        kept = study_of(tmp_path / "1", words["word"]).open_study().trials
        assert len(kept) > 8

    def test_how_settings_come_about_is_told(self):
        space = [parse("method.x=interval(0,1)")]
        told = {n: way_of_suggesting(space, trials=n, startup=10) for n in (8, 10, 11)}
        assert told[8] == told[10] == "drawn at random"
        assert told[11] == "the first 10 drawn at random, the others suggested by TPE"
        grid = [parse("method.x=range(1,4)")]
        assert way_of_suggesting(grid, trials=3, startup=1) == "all points of the space"

    def test_a_trial_whose_process_died_is_tried_again(self, tmp_path):
        """SIGKILL in the second trial leaves it under way in the journal."""
        word = "method.x=interval(0,1)"
        script = (
            "import os, signal, sys\n"
            f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from test_tune import study_of, folds_of\n"
            "def evaluate(words, known):\n"
            "    print(words['method.x'], flush=True)\n"
            "    if evaluate.calls: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    evaluate.calls += 1\n"
            "    return iter(folds_of(1.0))\n"
            "evaluate.calls = 0\n"
            f"study_of(sys.argv[1], {word!r}).search(evaluate, 5, lambda t: None)\n"
        )
        died = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=ROOT / "tests",
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert died.returncode == -9, died.stderr
        first, killed = died.stdout.split()
        study = study_of(tmp_path, word)
        assert not is_held(study.store.lock_path("tune-toy-1"))
        again = [w["method.x"] for w in self.search(study, 3)]
        assert len(again) == 2 and again[0] == killed and first not in again

    def test_a_trial_that_another_process_is_at_is_left_alone(self, tmp_path):
        study = study_of(tmp_path, "method.x=range(1,4)")
        seen = []

        def evaluate(words, known):
            if not seen:  # in the midst of the first trial, another process goes on with the rest
                seen.append(words["method.x"])
                seen.extend(
                    w["method.x"] for w in self.search(study_of(tmp_path, "method.x=range(1,4)"), 3)
                )
            return iter(folds_of(1.0))

        assert study.search(evaluate, 3, lambda t: None)
        assert sorted(seen) == ["1", "2", "3"] and len(study.results()) == 3

    def test_small_spaces_are_gone_through_whole_and_once(self, tmp_path):
        words = ["method.x=range(1,4)", "method.a=[p,q]"]
        asked = self.search(study_of(tmp_path, *words), 50)
        assert len({tuple(w.items()) for w in asked}) == len(asked) == 6
        assert not self.search(study_of(tmp_path, *words), 60)

    def test_settings_that_were_tried_cost_nothing(self, tmp_path):
        """A space of 12 values and 8 trials: the sampler repeats itself, the work does not."""
        asked = self.search(study_of(tmp_path, "method.x=1:12"), 8)
        assert len({w["method.x"] for w in asked}) == len(asked) == 8

    def test_it_begins_with_the_settings_as_they_are(self, tmp_path):
        study = study_of(tmp_path, "method.x=interval(0,1)", first={"method.x": 0.25})
        assert self.search(study, 2)[0] == {"method.x": "0.25"}

    def test_bad_candidates_are_given_up_early(self, tmp_path):
        study, drawn = study_of(tmp_path, "method.x=interval(0,1)"), []

        def evaluate(words, known):
            bad = len(drawn) >= 6
            drawn.append(0)
            for fold in folds_of(9.0 if bad else 1.0):
                drawn[-1] += 1
                yield fold

        study.search(evaluate, 7, lambda t: None)
        assert drawn == [3] * 6 + [2]
        assert [t.state for t in study.results()] == ["complete"] * 6 + ["pruned"]

    def test_divergence_ends_a_trial_and_not_the_study(self, tmp_path):
        def value(words):
            if float(words["method.x"]) == 2:
                raise FloatingPointError("loss is NaN")
            return float(words["method.x"])

        study = study_of(tmp_path, "method.x=range(1,4)")
        assert len(self.search(study, 3, value)) == 3
        done = study.results()
        assert [t.state for t in done] == ["complete", "complete", "failed"]
        assert done[-1].reason == "loss is NaN" and done[-1].value is None
        assert best_of(done).words == {"method.x": "1"} and ranked(done) == done
        assert not self.search(study, 3, value)  # it is not tried again

    def test_a_trial_that_was_cut_short_keeps_its_folds(self, tmp_path):
        def cut(words, known):
            yield from folds_of(4.0)[:2]
            raise KeyboardInterrupt

        study, known_folds = study_of(tmp_path, "method.x=interval(0,1)"), []
        with pytest.raises(KeyboardInterrupt):
            study.search(cut, 2, lambda t: None)

        def rest(words, known):
            known_folds.append(known)
            return iter(folds_of(1.0)[known:])

        study.search(rest, 2, lambda t: None)
        assert known_folds == [2, 0]
        values = sorted(t.value for t in study.results())
        assert values == [1.0, pytest.approx((4 + 4 + 1) / 3)]

    def test_other_errors_stop_it_and_are_tried_again(self, tmp_path):
        def value(words):
            raise RuntimeError("no luck")

        study = study_of(tmp_path, "method.x=interval(0,1)")
        with pytest.raises(RuntimeError, match="no luck"):
            self.search(study, 1, value)
        assert len(self.search(study, 1)) == 1 and len(study.results()) == 1


QUICK = ["method=source", "dataset=babies", "k=4", "samples=3", "batch_size=3"]


def run(tmp_path, *words):
    assert tune.main([*QUICK, f"results_dir={tmp_path}", *words]) == 0
    (path,) = (tmp_path / "tune").glob("*.json")
    return json.loads(path.read_text()), path.read_bytes()


class TestCommand:
    def test_a_study_ends_with_a_command_that_composes(self, tmp_path, capsys):
        result, written = run(tmp_path, "method.num_steps=range(2,5)", "trials=3")
        out = capsys.readouterr().out
        assert [t["settings"]["method.num_steps"] for t in result["trials"]] != []
        assert {t["settings"]["method.num_steps"] for t in result["trials"]} == {"2", "3", "4"}
        scores = [t["left_out"] for t in result["trials"]]
        assert scores == sorted(scores) and result["best"] == result["trials"][0]["number"]
        # The source model never looks at the shots: all folds together leave each out once.
        assert all(t["left_out"] == pytest.approx(t["adapted_to"]) for t in result["trials"])
        assert "shots only" in out and result["uses"] == "shots only"
        assert result["suggested"] == "all points of the space"
        assert result["command"] in out and result["study"] in out
        words = shlex.split(result["command"])
        assert words[0] == "fsig-bench"
        assert not [w for w in [*words, *result["fixed"]] if "results_dir" in w]
        steps = str(composed(*words[1:]).method.num_steps)
        assert steps == result["trials"][0]["settings"]["method.num_steps"]
        again, same = run(tmp_path, "method.num_steps=range(2,5)", "trials=3")
        assert again == result and same == written
        assert "trial 0:" not in capsys.readouterr().out  # nothing was evaluated

    def test_a_study_is_named_by_what_its_numbers_depend_on(self):
        def name(*words):
            keys = {w.partition("=")[0] for w in words}
            base = [
                w
                for w in [*QUICK, "method.num_steps=range(2,5)"]
                if w.partition("=")[0] not in keys
            ]
            wanted = parse_request([*base, *words])
            made = self.in_hydra(lambda: candidate_cell(wanted.fixed, {}))
            return study_name(made, wanted)

        first = name()
        assert first.startswith("source-babies-")
        for same in (["trials=9"], ["png=true"], ["num_images=100"], ["batch_size=2"]):
            assert name(*same) == first, same
        other = [["seed=1"], ["subset=1"], ["k=5"], ["samples=4"], ["held=1"]]
        other += [["method.num_steps=range(2,6)"], ["precision.sample=bf16"], ["dataset=obama"]]
        assert len({first, *(name(*words) for words in other)}) == 1 + len(other)

    def test_the_reference_is_never_read(self, tmp_path, monkeypatch):
        """Every way to the reference raises, and the renderer draws no target but the shots."""

        def barred(*words, **more):
            raise AssertionError("the reference was asked for")

        for way in ("reference_images", "reference_at", "reference_fingerprint"):
            monkeypatch.setattr(FaceworldDataset, way, barred)
        monkeypatch.setattr("fsig_bench.runner.score.reference_images", barred)
        drawn = []
        for module in (fsig_bench.faceworld.render, fsig_bench.faceworld.images):

            def render(domain, split, indices, draw=module.render):
                drawn.append((domain, split, len(indices)))
                assert split == "shots", (domain, split)
                return draw(domain, split, indices)

            monkeypatch.setattr(module, "render", render)
        result, _ = run(tmp_path, "method.num_steps=[2,3]", "trials=2")
        assert len(result["trials"]) == 2 and set(drawn) == {("babies", "shots", 4)}

    def test_a_folder_of_references_need_not_be_there(self, tmp_path):
        from PIL import Image

        for n in range(4):
            Image.new("RGB", (64, 64), (60 * n, 0, 0)).save(tmp_path / f"{n}.png")
        words = ["method=source", "dataset=folder", f"dataset.path={tmp_path}"]
        words += ["dataset.reference=/nowhere", "k=4"]
        composed(*words)
        with_hydra = self.in_hydra(lambda: candidate_cell(without_reference(words)[0], {}))
        assert with_hydra.dataset.reference is None

    @staticmethod
    def in_hydra(fn):
        from hydra import initialize_config_dir

        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return fn()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["method.num_stepz=range(2,5)"], "no setting method.num_stepz .*method.num_steps"),
            (["methdo.x=1", "method.num_steps=range(2,5)"], "no setting methdo"),
            (["method.card=[a,b]"], "method.card is a group"),
            (["method/nothing=[a,b]"], "no group method/nothing"),
            (["method.num_steps=[2,x]"], "num_steps=x"),
            (["k=2"], "nothing to search"),
            (["k=1", "method.num_steps=range(2,5)"], "held=2 of k=1"),
            (["method.num_steps=range(2,5)", "trials=0"], "trials=0"),
            (["method.num_steps=range(2,5)", "method.num_steps=3"], "more than once"),
            (["method.num_steps=range(2,5)", "seed=[0,1]"], "seed"),
            (["method.num_steps=range(2,5)", "k"], "key=value"),
            (["method=real", "method.x=range(1,3)"], "draws unseen target images"),
            (
                ["method=from_folder", "method.images.files=x", "method.x=range(1,3)"],
                "made elsewhere",
            ),
        ],
    )
    def test_errors_come_before_any_work(self, words, said, tmp_path):
        keys = {w.partition("=")[0] for w in words}
        base = [w for w in QUICK if w.partition("=")[0] not in keys]
        with pytest.raises(ValueError, match=said):
            tune.main([*base, *words, f"results_dir={tmp_path / 'none'}"])
        assert not (tmp_path / "none").exists()

    def test_a_choice_that_the_method_refuses_is_named(self):
        words = ["method=domainstudio", "dataset=babies", "method.sample.kind=choice(ddim,foo)"]
        with pytest.raises(ValueError, match="method.sample.kind=foo: kind='foo'"):
            tune.main(words)
        with pytest.raises(ValueError, match="method/objective with a choice nope"):
            tune.main([*words[:2], "method/objective=choice(paper,nope)"])

    def test_presets_and_whole_numbers_are_found_in_the_config(self):
        words = ["method=domainstudio", "dataset=babies", "method/objective=choice(paper,code)"]
        wanted = parse_request(
            [
                *words,
                "method.iterations=tag(log,interval(50,400))",
                "method.lr=tag(log,interval(1e-5,1e-3))",
            ]
        )

        def look():
            fixed, cfg = without_reference(wanted.fixed)
            space = check_space(wanted, cfg)
            made = candidate_cell(fixed, {"method/objective": "code", "method.lr": "1e-05"})
            return space, present_settings(cfg), made

        space, now, made = self.in_hydra(look)
        assert [d.kind for d in space] == ["choice", "whole", "real"]
        assert now["method.iterations"] == 200 and made.method.spec["lr"] == 1e-5
        assert made.method.spec["objective"]["kl_reduction"] == "mean"
        assert made.config["dataset"]["fresh"] is None

    def test_without_optuna_it_says_what_to_install(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "optuna", None)
        with pytest.raises(ValueError, match=r"fsig-bench\[optuna\]"):
            run(tmp_path, "method.num_steps=range(2,5)")
