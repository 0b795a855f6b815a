"""Draws in the HTML report: which runs stand beside each other, and what they are called."""

import hashlib

import pytest
from html_helpers import Page, altered, compare_page, groups_of, leave, needs_node, reference

from fsig_bench.metrics.cards import metric_cards
from fsig_bench.report.html.build import write_report
from fsig_bench.report.html.links import run_label, run_page
from fsig_bench.report.html.rows import make_rows


def drawn(method, draw, *, seed=0, results=None):
    """A run of seed 0 as another draw of its state, or of another state, with samples."""
    record = reference(method)
    name = f"{method}-{seed}-{draw}"
    stages = record["stages"] | {"sample": hashlib.sha256(name.encode()).hexdigest()}
    found = altered(record, seed=seed, draw=draw, run_id=name.replace("_", ""), stages=stages)
    if results:
        leave(found, results, level=40 + 10 * draw + 30 * seed + 5 * len(method))
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two draws of one state of each of two methods; another state of one."""
    results = tmp_path_factory.mktemp("results")
    pairs = [("crdi", 0), ("crdi", 1), ("gan_inversion", 0), ("gan_inversion", 1)]
    own = [drawn(method, draw, results=results) for method, draw in pairs]
    own.append(drawn("crdi", 0, seed=1, results=results))
    own.append(drawn("copy", 0, results=results))
    index = write_report(own, results=results, out=tmp_path_factory.mktemp("out") / "report")
    return own, index


def strips_of(page):
    return [own["alt"] for own in page.all("img") if own.get("class") == "strip"]


def test_a_run_stands_beside_the_same_draw_of_other_methods(runs):
    own, index = runs
    page = Page(index.parent / run_page(own[1]))
    shots, first, second, control = strips_of(page)
    assert first == "CRDI (closed form) on babies, seed 0, draw 1, samples 0 to 7"
    assert second == "GAN inversion on babies, seed 0, draw 1, samples 0 to 7"
    assert control == "copy on babies, seed 0, samples 0 to 7" and "shots" in shots
    assert "seed 0 (another draw)" in page.text
    assert "A row with another draw shares no random draws with this run" in page.text
    labels = [own["data-label"] for own in page.all("img") if own.get("class") == "strip"]
    assert labels[1:] == ["CRDI (closed form)", "GAN inversion", "copy, another draw"]
    alike = Page(index.parent / run_page(own[0]))
    assert strips_of(alike)[2] == "GAN inversion on babies, seed 0, samples 0 to 7"
    assert "another draw" not in alike.text
    # Another adapted state: the same draw, which the row's words do not deny.
    other = Page(index.parent / run_page(own[4]))
    assert "seed 0 (another seed)" in other.text and "another draw" not in other.text


def test_pages_name_the_draw_where_it_differs_from_the_seed(runs):
    own, index = runs
    text = Page(index.parent / run_page(own[1])).text
    assert "CRDI (closed form) on babies, 10 shots, seed 0, draw 1" in text
    assert "subset 0, seed 0, draw 1; run" in text
    assert "Other runs of this row: seed 0 ; seed 1, subset 0, draw 0 ." in text
    for name in (run_page(own[0]), "compare.html"):
        found = Page(index.parent / name).text
        assert "comes from the run's draw seed and i alone" in found
    rows = [path.read_text() for path in (index.parent / "rows").iterdir()]
    assert any(">seed 0, draw 1</a>" in row and ">seed 0</a>" in row for row in rows)
    assert "3 (2 seeds, 2 draws)" in Page(index).text and "2 (2 draws)" in Page(index).text


@pytest.mark.parametrize(
    ("subset", "seed", "draw", "label"),
    [
        (0, 0, 0, "seed 0"),
        (0, 0, 1, "seed 0, draw 1"),
        (1, 1, 1, "seed 1, subset 1"),
        (0, 2, 2, "seed 2, subset 0"),
        (1, 0, 2, "seed 0, subset 1, draw 2"),
    ],
)
def test_a_label_tells_runs_of_one_method_apart(subset, seed, draw, label):
    record = altered(reference("copy"), subset=subset, seed=seed, draw=draw)
    assert run_label(record) == label


def test_the_seed_of_an_early_record_was_its_draw():
    record = altered(reference("copy", seed=1))
    del record["draw"]
    assert run_label(record) == "seed 1, subset 1"
    many = [altered(record, seed=s, subset=s, run_id=f"{s:010d}") for s in range(3)]
    (row,) = make_rows(many, metric_cards(many))
    assert row.runs == "3 (3 seeds, 3 sets of shots)"


def test_the_index_shows_one_draw_and_says_where_there_is_none(runs, tmp_path):
    index = runs[1]
    chosen = strips_of(Page(index))
    assert [alt.partition(" on babies, ")[2] for alt in chosen[1:]] == [
        "seed 0, samples 0 to 7"
    ] * 3
    assert "another draw" not in Page(index).text
    results = tmp_path / "results"
    few = [drawn(m, d, results=results) for m, d in [("crdi", 1), ("copy", 1), ("finetune", 0)]]
    page = Page(write_report(few, results=results, out=tmp_path / "report"))
    assert "fine-tune seed 0 (another draw)" in page.text
    assert "A row with another draw shares no random draws with the others" in page.text
    assert page.text.count("another draw") == 2


def test_every_draw_is_listed_side_by_side(runs):
    (group,) = groups_of(runs[1])
    assert [(run["label"], run["seed"], run["draw"]) for run in group["runs"]] == [
        ("CRDI (closed form), seed 0", 0, 0),
        ("CRDI (closed form), seed 0, draw 1", 0, 1),
        ("CRDI (closed form), seed 1, subset 0, draw 0", 1, 0),
        ("GAN inversion, seed 0", 0, 0),
        ("GAN inversion, seed 0, draw 1", 0, 1),
        ("copy, seed 0", 0, 0),
    ]


@needs_node
def test_side_by_side_pairs_draws_and_warns_where_they_differ(runs):
    steps = [("left", 1), ("right", 3), ("left", 2), ("right", 0)]
    first, followed, unlike, again, seeds = compare_page(groups_of(runs[1]), *steps)
    assert first["pair"] == ["CRDI (closed form), seed 0", "GAN inversion, seed 0"]
    assert first["couples"] == 100 and "differ" not in first["status"]
    assert followed["pair"][1] == "GAN inversion, seed 0, draw 1"
    assert "differ" not in followed["status"]
    assert unlike["pair"][1] == "GAN inversion, seed 0"
    assert "The draws differ (1 and 0), so equal indices share no random draws." in unlike["status"]
    # GAN inversion has no run of seed 1, so the right side stays where it is.
    assert again["pair"][1] == "GAN inversion, seed 0"
    for page in (again, seeds):
        assert "The seeds of adapting differ (1 and 0)." in page["status"]
        assert "random draws" not in page["status"]
