"""The comparison itself can fail: planted differences, dead outputs, bounds on both sides."""

import math
import re
import subprocess

import pytest
import torch
from helpers import ROOT
from parity import run, worker
from parity.page import Compared, renewed, section, terminal
from parity.rows import compare
from parity.stand_in import Replay, doubles
from parity.upstream import REPOSITORIES, commit, why_not


def row(official, ours, most=0.1, **more):
    return compare("a quantity", (official, ours), most=most, **more)


@pytest.mark.parametrize("ours", [1.2, 0.8, math.nan, math.inf, -math.inf])
def test_a_number_that_is_off_fails_on_either_side(ours):
    assert row(1.0, 1.05).holds and row(1.0, 0.95).holds
    assert not row(1.0, ours).holds


@pytest.mark.parametrize(
    "ours", [[1.0, 2.0, 3.5], [1.0, 2.0], [[1.0], [2.0], [3.0]], [1.0, math.nan, 3.0]]
)
def test_one_wrong_value_shape_or_nan_fails(ours):
    assert row([1.0, 2.0, 3.0], torch.tensor([1.0, 2.0, 3.0])).holds
    assert not row([1.0, 2.0, 3.0], torch.tensor(ours)).holds


def test_a_dead_official_output_compares_nothing():
    assert not row([0.0, 0.0], [0.0, 0.0]).holds
    assert not row([], []).holds
    with pytest.raises(ValueError, match="nothing to compare"):
        compare("x", {}, most=1)


def test_a_meant_difference_that_is_gone_fails():
    assert row(1.0, 1.5, least=0.3, most=0.6).holds
    assert not row(1.0, 1.0, least=0.3, most=0.6).holds
    assert not row(1.0, 1.7, least=0.3, most=0.6).holds


def test_the_worst_of_several_counts_and_is_named():
    pairs = {"a": (1.0, 1.0), "b": (1.0, 9.0), "c": (1.0, 1.2)}
    assert (compare("x", pairs, most=1).worst, compare("x", pairs, most=1).difference) == ("b", 8)
    hidden = pairs | {"c": (1.0, math.nan)}
    assert compare("x", hidden, most=100).worst == "c" and not compare("x", hidden, most=100).holds


def test_a_case_that_breaks_off_is_a_failed_row():
    def broken():
        yield row(1.0, 1.0)
        raise RuntimeError("upstream moved")

    first, second = worker.rows_of(broken)
    assert first.holds and not second.holds and "upstream moved" in second.note


def part(*rows, commit="abcdef0", name="crdi"):
    return Compared(name=name, title="a/b", commit=commit, rows=rows, versions={"torch": "1"})


EMPTY = "before\n<!-- parity crdi -->\nold\n<!-- end of crdi -->\nafter\n"


def test_a_difference_is_shown_and_never_written():
    good, bad = row(1.0, 1.01), row(1.0, 2.0)
    assert "DIFFERS" in terminal([part(good, bad)]) and "DIFFERS" not in terminal([part(good)])
    page = renewed(EMPTY, [part(good)])
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    assert section(part(good)) in page and renewed(page, [part(good)]) == page
    for wrong in (part(good, bad), part(), part(good, commit="abcdef0 changed")):
        with pytest.raises(ValueError):
            renewed(EMPTY, [wrong])
    with pytest.raises(ValueError, match="0 sections"):
        renewed("no markers", [part(good)])


def test_the_command_fails_and_leaves_the_page_where_something_differs(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(EMPTY.replace("crdi", "packages"))
    monkeypatch.setattr(run, "PAGE", page)
    for planted, status in ((row(1.0, 2.0), 1), (row(1.0, 1.01), 0)):
        monkeypatch.setattr(run, "compared", lambda name, planted=planted: part(planted, name=name))
        assert run.main(["only=packages"]) == status and "old" in page.read_text()
        assert run.main(["only=packages", "write=true"]) == status
        assert ("old" in page.read_text()) == bool(status)


def test_what_is_not_given_is_left_out_and_what_is_wrong_is_an_error(tmp_path):
    repository = REPOSITORIES["crdi"]
    assert "FSIG_UPSTREAM_CRDI is not set" in why_not(repository, {})
    with pytest.raises(FileNotFoundError, match="git clone https://github.com/YuCao16/CRDI"):
        why_not(repository, {"FSIG_UPSTREAM_CRDI": str(tmp_path)})
    (tmp_path / repository.witness).parent.mkdir(parents=True)
    (tmp_path / repository.witness).touch()
    assert why_not(repository, {"FSIG_UPSTREAM_CRDI": str(tmp_path)}) is None
    assert run.main(["only=nothing"]) == 2 and run.main(["write"]) == 2


def test_a_changed_checkout_is_marked(tmp_path):
    assert commit(tmp_path) == "unknown"

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True)

    (tmp_path / "a.py").write_text("x = 1\n")
    git("init"), git("add", "."), git("commit", "-m", "first")
    assert re.fullmatch(r"[0-9a-f]{7}", commit(tmp_path))
    (tmp_path / "a.py").write_text("x = 2\n")
    assert commit(tmp_path).endswith(" changed")


def test_draws_are_replayed_exactly_as_often():
    replay = Replay([1, 2])
    assert (replay(), replay(size=3)) == (1, 2)
    replay.check_used_up()
    with pytest.raises(AssertionError, match="more than 2"):
        replay()
    with pytest.raises(AssertionError, match="1 of our draws are left"):
        Replay([1]).check_used_up()


def test_doubles_end():
    with doubles():
        assert torch.zeros(1, dtype=torch.float16).float().dtype == torch.zeros(1).dtype
        assert torch.zeros(1).dtype == torch.float64
    assert torch.zeros(1).dtype == torch.ones(1, dtype=torch.float64).float().dtype == torch.float32


def test_the_page_holds_what_its_tolerances_allow():
    """What stands in docs/parity.md was written by the script, or agrees with it."""
    page = (ROOT / "docs" / "parity.md").read_text()
    sections = dict(re.findall(r"<!-- parity (\w+) -->\n(.*?)<!-- end of \1 -->", page, flags=re.S))
    assert list(sections) == list(run.NAMES)
    for name, text in sections.items():
        lines = [line.strip("| ").split(" | ") for line in re.findall(r"^\| .*", text, re.M)[1:]]
        for quantity, _, _, difference, tolerance, *_ in lines:
            bounds = tolerance.split(" to ")
            least = float(bounds[0]) if len(bounds) == 2 else 0.0
            most = 0.0 if tolerance == "equal" else float(bounds[-1])
            assert least <= float(difference) <= most, (name, quantity)
        if lines and name in REPOSITORIES:
            assert REPOSITORIES[name].commit in text
