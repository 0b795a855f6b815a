"""Distance against the seconds of adapting: which runs make a curve, and what is drawn."""

import re
import shlex

import pytest
import yaml
from helpers import ROOT, build, composed, make_cell
from omegaconf import OmegaConf
from report_records import record

from fsig_bench.report.figures.adapting_time import (
    adapting_curves,
    adapting_table,
    adapting_time,
    over_lengths,
    value_in_conf,
)
from fsig_bench.report.figures.style import look
from fsig_bench.report.figures.summaries import cards
from fsig_bench.report.figures.write import write_figures
from fsig_bench.report.records import method_cards
from tools import adapting_time as tool

MAIN = yaml.safe_load((ROOT / "conf" / "tune" / "mini.yaml").read_text())["spaces"]
HEADER = (ROOT / "conf" / "experiment" / "adapting_time.yaml").read_text()
SHOWN = [shlex.split(line) for line in re.findall(r"^# fsig-bench -m (.*)$", HEADER, re.M)]
COMMANDS = {w.partition("=")[2]: words for words in SHOWN for w in words if w.startswith("method=")}


def lengths_of(method):
    """The swept setting of a method's command, its values, and the words that stay."""
    (swept,) = [word for word in COMMANDS[method] if "," in word]
    key, _, values = swept.partition("=")
    return key, [int(v) for v in values.split(",")], [w for w in COMMANDS[method] if w != swept]


def test_the_header_has_a_command_for_each_main_method_and_the_page_shows_them():
    assert set(COMMANDS) == set(MAIN)
    page = (ROOT / "docs" / "tuning.md").read_text()
    assert all(f"fsig-bench -m {shlex.join(words)}\n" in page for words in COMMANDS.values())


@pytest.mark.parametrize("method", MAIN)
def test_lengths_reach_from_a_quarter_of_the_suites_own_to_twice_it(method):
    key, lengths, _ = lengths_of(method)
    assert key == f"method.{method_cards()[method]['length']}"
    own = OmegaConf.select(composed(f"method={method}", "dataset=elders"), key)
    assert own in lengths and len(lengths) == 4 and lengths == sorted(lengths)
    assert 0.2 <= lengths[0] / own <= 0.3 and 1.8 <= lengths[-1] / own <= 2.2


@pytest.mark.parametrize("method", MAIN)
def test_every_length_is_a_run_of_its_own_that_can_begin(method):
    key, lengths, words = lengths_of(method)
    cells = [make_cell(*words, "dataset=elders", f"{key}={n}") for n in lengths]
    assert len({cell.run_id for cell in cells}) == len(lengths)
    for cell in cells:
        assert (cell.dataset.name, cell.shots.subset, cell.samples.num_scored) == ("elders", 0, 250)
        assert cell.config["controls"] == []
    build(cells[-1])


def made_up(method, lengths, *, key=None, dataset="elders", own=None, **changes):
    """Runs whose distance falls with their length, and which take a second for ten of it."""
    key, found = key or method_cards()[method]["length"], []
    for length in lengths:
        settings = OmegaConf.create({"lr": 1.0, **(own or {})})
        OmegaConf.update(settings, key, length)
        card = {"label": method.upper(), "kind": "method", "name": method}
        node = OmegaConf.to_container(settings) | {"card": card}
        timing = {"adapt": length / 10, "sample": 5.0, "score": 1.0}
        more = {"config": {"method": node}, "timing_s": timing, "num_images": 250} | changes
        fd = 10 + 1000 / length
        found.append(record(method, dataset, fd=fd, run_id=f"{method}{length}{changes}", **more))
    return found


SIX = [r for method in MAIN for r in made_up(method, lengths_of(method)[1])]


def test_a_curve_holds_the_seconds_and_distances_of_its_runs():
    own = over_lengths(made_up("finetune", [200, 50, 100]))
    (curve,) = adapting_curves(own, lambda r, key: {"method.iterations": 100}[key])
    assert (curve.method, curve.dataset, curve.key) == ("finetune", "elders", "method.iterations")
    points = [(p.length, p.seconds.mean, p.distance.mean, p.is_own) for p in curve.points]
    assert points == [(50, 5, 30, False), (100, 10, 20, True), (200, 20, 15, False)]
    table = adapting_table([curve], cards(own))
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert [c[2:] for c in cells] == [
        ["`iterations=50`", "5", "30.00"],
        ["**`iterations=100`**", "10", "20.00"],
        ["`iterations=200`", "20", "15.00"],
    ]
    assert {tuple(c[:2]) for c in cells} == {("elders", "FINETUNE")}


def test_runs_that_differ_in_more_than_the_length_share_no_curve():
    one = made_up("finetune", [50, 100])
    assert over_lengths(one[:1]) == [] and over_lengths([]) == []
    other = made_up("finetune", [200], own={"lr": 2.0})
    assert over_lengths([*one, *other]) == one
    assert over_lengths([one[0], *other]) == []
    assert over_lengths([one[0], *made_up("finetune", [100], protocol_hash="b")]) == []
    assert over_lengths([one[0], *made_up("finetune", [100], dataset="pixelart")]) == []
    assert over_lengths(made_up("patch_score", [1, 2], key="anything")) == []  # it has no length


def test_every_length_has_the_same_sets_of_shots():
    both = [r for n in (0, 1) for r in made_up("finetune", [50, 100], subset=n, seed=n, draw=n)]
    alone = made_up("finetune", [200], subset=2, seed=2, draw=2)
    assert over_lengths([*both, *alone]) == both
    first, second = adapting_curves(both, lambda r, key: None)[0].points
    assert first.distance.axis == "subset" and first.distance.runs == second.distance.runs == 2


def test_a_setting_that_lies_deeper_is_a_length_too():
    (curve,) = adapting_curves(made_up("gan_inversion", [75, 150, 300]))
    assert curve.key == "method.projector.steps"
    assert [p.is_own for p in curve.points] == [False, False, True]  # as conf/ has it


def test_a_method_that_conf_lacks_has_no_ring():
    (own,) = made_up("mine", [10], key="steps")
    assert value_in_conf(own, "method.steps") is None


def test_the_figure_has_a_line_and_a_ring_for_each_main_method(tmp_path):
    made = adapting_time(SIX, tmp_path / "a")
    assert [p.name for p in made] == ["a.pdf", "a.svg", "a.md"]
    svg = (tmp_path / "a.svg").read_text()
    known = cards(SIX)
    assert all(look(m, known[m]).colour in svg for m in MAIN)
    rings = re.findall(r"<use [^>]*fill-opacity: 0; stroke: #333333", svg)
    assert len(rings) == len(MAIN)
    assert (tmp_path / "a.md").read_text().count("**`") == len(MAIN)
    adapting_time(SIX, tmp_path / "b")
    assert all((tmp_path / f"b{p.suffix}").read_bytes() == p.read_bytes() for p in made)


def test_the_report_draws_it_where_records_allow(tmp_path, capsys):
    names = {p.name for p in write_figures(SIX, results=None, out=tmp_path)}
    stem = "adapting_time-mini-ours-k10"
    assert {f"{stem}.pdf", f"{stem}.svg", f"{stem}.md"} <= names
    assert "left out: adapting_time" not in capsys.readouterr().out
    write_figures(made_up("finetune", [50]), results=None, out=tmp_path / "less")
    assert "adapting_time: no two records differ in their method's" in capsys.readouterr().out


def test_the_page_shows_the_committed_records_or_says_that_there_are_none(tmp_path):
    assert tool.PAGE.read_text() == tool.page(), "python -m tools.adapting_time"
    assert tool.section(tmp_path / "none") == tool.NONE
    assert (tool.FIGURE in tool.PAGE.read_text()) == (ROOT / "docs" / tool.FIGURE).is_file()
