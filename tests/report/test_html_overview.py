"""The report's first view and what its pages lay beside each other."""

import io
import json

import pytest
import torch
from helpers import ROOT
from html_helpers import Page, altered, leave, reference
from PIL import Image

from fsig_bench.metrics.cards import metric_cards
from fsig_bench.pictures.strip import strip_bytes
from fsig_bench.report.__main__ import main
from fsig_bench.report.audit.setting import read_audit
from fsig_bench.report.audit.table import Row as AuditRow
from fsig_bench.report.html.axes import axis
from fsig_bench.report.html.build import write_report
from fsig_bench.report.html.faults import UNSEEN, between, place_of
from fsig_bench.report.html.links import run_page
from fsig_bench.report.html.overview import where_text
from fsig_bench.report.html.ranking import LEFT, RIGHT, rank_diagram
from fsig_bench.report.html.rows import make_rows
from fsig_bench.report.html.scatter import front_points
from fsig_bench.report.html.symbols import symbol_of
from fsig_bench.report.thumbnails import thumbnail_places
from fsig_bench.store.store import run_folder_name

TARGETS = ("babies", "cats", "metfaces", "obama", "sketches", "sunglasses")


def test_ranks_are_placed_by_their_means_and_intervals_are_cut_at_the_ends():
    """Three methods with ranks that are the same on all targets but one."""
    records = [
        reference(m, t) for m in ("crdi", "gan_inversion", "finetune", "real") for t in TARGETS
    ]
    for record in records:
        level = {"crdi": 1.0, "gan_inversion": 2.0, "finetune": 3.0, "real": 0.1}[record["method"]]
        swapped = record["dataset"] == "cats" and record["method"] != "finetune"
        record["metrics"]["fd"]["value"] = 3 - level if swapped else level
    diagram = rank_diagram(records, "fd")
    first, second, last = diagram.lines
    assert [line.label for line in diagram.lines] == [
        "CRDI (closed form)",
        "GAN inversion",
        "fine-tune",
    ]
    unit = (RIGHT - LEFT) / 2
    assert first.x == pytest.approx(LEFT + unit / 6, abs=0.1)
    assert second.x == pytest.approx(LEFT + 5 * unit / 6, abs=0.1)
    # Ranks 1, 1, 1, 1, 1, 2: mean 7/6, half-width t(5) * 0.408 / sqrt(6) = 0.428.
    assert first.span == pytest.approx((LEFT, LEFT + (1 / 6 + 0.4284) * unit), abs=0.1)
    assert last.x == RIGHT and diagram.critical > 0


def test_an_axis_takes_logarithms_only_of_what_spans_a_decade_and_clamps_the_rest():
    wide = axis([10.0, 1000.0], start=0, end=100)
    assert wide.log and wide.at(100.0) == pytest.approx(50)
    assert wide.at(0.0) == wide.at(1e-9) == 0 and not wide.holds(0.0)
    close = axis([10.0, 20.0], start=100, end=0)
    assert not close.log and close.at(15.0) == 50
    for own in (wide, close, axis([3.0, 3.0], start=0, end=9), axis([-1.0, 500.0], start=0, end=9)):
        assert 2 <= len(own.ticks()) <= 8


def test_the_front_joins_what_no_other_beats_in_both():
    """SVG places: low values of y lie at large y."""
    points = [(10, 20), (20, 90), (30, 50)]  # the third costs more than the second and is worse
    assert front_points(points, x_higher=False, y_higher=False) == "10,20 20,20 20,90"


def test_markers_are_those_of_the_figures():
    assert symbol_of("o").path.count("C") > 3 and symbol_of("o").filled
    assert symbol_of("s").path == "M-5.00,5.00L5.00,5.00L5.00,-5.00L-5.00,-5.00Z"
    assert not symbol_of("x").filled


def test_many_runs_are_counted_and_shown_as_dots(tmp_path):
    runs = [
        altered(reference("crdi"), run_id=f"{n:010d}", seed=n % 6, subset=n // 6) for n in range(18)
    ]
    (row,) = make_rows(runs, metric_cards(runs))
    assert row.runs == "18 (6 seeds, 3 sets of shots)"
    index = write_report(runs, results=tmp_path / "none", out=tmp_path / "report")
    page = Page(index.parent / row.page)
    assert sum(own.get("cx") is not None for own in page.all("circle")) >= 18
    assert {f"../{run_page(r)}" for r in runs} <= set(page.addresses)
    assert "neither their samples nor strips" in Page(index).text


def test_a_figure_says_what_its_lines_are():
    several = [altered(reference("crdi"), run_id=f"{n:010d}", seed=n, subset=n) for n in range(3)]
    for n, run in enumerate(several):
        run["metrics"]["fd"]["value"] += n
    one_set = [altered(run, subset=0) for run in several]
    for runs, over in ((several, "its sets of shots."), (one_set, "its runs, which have one set")):
        rows = make_rows(runs, metric_cards(runs))
        assert f"one standard deviation over {over}" in where_text("babies", rows)
    assert where_text("babies", make_rows(several[:1], metric_cards(several))) == "Means on babies."


def fault(level, strength, value, verdict="seen"):
    return AuditRow(
        fault="blur", heading="blur, pixels", level=level, strength=strength, metric="fd",
        value=value, floor_mean=2.0, floor_spread=0.1, floor_draws=10, deviation=0.0,
        verdict=verdict,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "better", "place"),
    [
        (2.5, "lower", "below 0.3"),
        (5.0, "lower", "0.3 to 0.6"),
        (9.0, "lower", "beyond 0.6"),
        (1.0, "lower", "below 0.3"),
        (-2.0, "like_real", "0.3 to 0.6"),
    ],
)
def test_a_value_lies_between_two_strengths(value, better, place):
    assert between(value, [fault(1, 0.3, 3.0), fault(2, 0.6, 8.0)], better) == place
    unseen = [fault(1, 0.3, 3.0, "not seen"), fault(2, 0.6, 8.0, "not seen")]
    assert between(value, unseen, better) == UNSEEN


def test_only_runs_that_were_scored_alike_are_laid_beside_planted_faults():
    audit = read_audit(ROOT / "docs" / "audit")
    assert audit[0]["dataset"] == "babies" and len(audit[1]) == 11 * 5 * 22
    record = reference("crdi")
    found = place_of(record, [audit])
    assert not found.why_not and len(found.faults) == 11
    assert any(title.startswith("Frechet") and "beyond" in c[0] for title, _, _, c in found.lines)
    other = altered(record, num_images=100)
    assert "number of samples 100, not 500" in place_of(other, [audit]).why_not
    old = reference("crdi")
    old["config"]["protocol"]["version"] = audit[0]["version"] - 1
    assert "version of the protocol" in place_of(old, [audit]).why_not


def test_strips_beside_records_stand_for_samples_that_are_gone(tmp_path, capsys):
    results, committed = tmp_path / "results", tmp_path / "committed"
    record = reference("crdi")
    leave(record, results, level=40)
    folder = committed / run_folder_name(record, record["run_id"]).removeprefix("runs/")
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record))
    lacking = committed / run_folder_name(
        reference("copy"), reference("copy")["run_id"]
    ).removeprefix("runs/")
    lacking.mkdir(parents=True)
    (lacking / "record.json").write_text(json.dumps(reference("copy")))
    assert main([str(committed), "only=thumbnails", f"results_dir={results}"]) == 0
    said = capsys.readouterr()
    assert "strips of samples: 1" in said.out and "no samples of this run" in said.err
    strip = folder / "samples.webp"
    assert strip.stat().st_size < 6 * 2**20 / 500
    with Image.open(strip) as opened:
        assert opened.size == (8 * 48, 48)
    places = thumbnail_places([committed])
    assert places == {record["run_id"]: strip}
    index = write_report(
        [record], results=tmp_path / "none", out=tmp_path / "report", folders=[committed]
    )
    assert any("samples 0 to 7" in own["alt"] for own in Page(index).all("img"))
    page = Page(index.parent / run_page(record))
    assert any("samples 0 to 7" in own["alt"] for own in page.all("img"))


@pytest.mark.parametrize("typed", ["results", "results/runs"])
def test_a_results_folder_that_is_named_gives_its_own_samples(tmp_path, monkeypatch, typed):
    record, home = reference("crdi"), tmp_path / "elsewhere"
    leave(record, home / "results", level=40)
    folder = home / "results" / run_folder_name(record, record["run_id"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)  # its own `results` is not there
    assert main([str(home / typed), "only=thumbnails"]) == 0
    assert (folder / "samples.webp").is_file()


def test_a_strip_holds_the_first_images_in_order():
    images = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 64, 64) * 20
    with Image.open(io.BytesIO(strip_bytes(images, tile=48, quality=90))) as opened:
        levels = [opened.convert("RGB").getpixel((48 * i + 24, 24))[0] for i in range(8)]
    assert levels == pytest.approx([20 * i for i in range(8)], abs=3)
