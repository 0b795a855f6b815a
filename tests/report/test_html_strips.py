"""Strips beside records in the HTML report, where the samples themselves are gone."""

import shutil

import pytest
from html_helpers import (
    REFERENCE,
    Page,
    compare_page,
    groups_of,
    leave,
    needs_node,
    reference,
)
from PIL import Image

from fsig_bench.report.html.build import write_report
from fsig_bench.report.html.links import run_page
from fsig_bench.report.html.run_page import strip_caption
from fsig_bench.store.store import run_folder_name


@pytest.fixture
def committed(tmp_path):
    """The report of two committed runs whose samples are gone; their strips are there."""
    own = [reference("crdi"), reference("gan_inversion"), reference("crdi", seed=1)]
    index = write_report(
        own, results=tmp_path / "none", out=tmp_path / "report", folders=[REFERENCE]
    )
    return own, index


def test_a_run_page_shows_the_strip_where_there_is_nothing_else(committed):
    own, index = committed
    for record in own:
        (strip,) = REFERENCE.rglob(f"*-{record['run_id']}/samples.webp")
        page = Page(index.parent / run_page(record))
        assert "pic-strip" in page.ids
        words = "The run's first eight samples, in index order; the other samples are not stored"
        assert words in page.text
        assert "Of this run only a strip of its first samples lies here" in page.text
        assert "has no samples of this run" not in page.text
        shown = [own for own in page.all("img") if own["alt"].startswith("strip:")]
        (name,) = {own["src"].removeprefix("../") for own in shown}
        assert (index.parent / name).read_bytes() == strip.read_bytes()
        with Image.open(index.parent / name) as opened:
            size = tuple(int(shown[0][key]) for key in ("width", "height"))
            assert opened.size == size


def test_a_strip_gives_way_to_the_picture_and_the_samples(tmp_path):
    record, results = reference("crdi"), tmp_path / "results"
    folder = leave(record, results, level=40)
    shutil.copy(next(REFERENCE.rglob(f"*-{record['run_id']}/samples.webp")), folder)
    out = tmp_path / "report"
    page = Page(write_report([record], results=results, out=out).parent / run_page(record))
    assert "pic-strip" not in page.ids
    shutil.rmtree(results / "store" / "sample")
    page = Page(write_report([record], results=results, out=out).parent / run_page(record))
    assert "pic-strip" not in page.ids and "no samples of this run" in page.text
    (folder / "samples.png").unlink()
    page = Page(write_report([record], results=results, out=out).parent / run_page(record))
    assert {"pic-strip", "pic-nearest"} <= page.ids and "no samples of this run" in page.text


@needs_node
def test_runs_are_laid_side_by_side_by_their_strips(committed):
    groups = groups_of(committed[1])
    assert [len(group["runs"]) for group in groups] == [2]
    assert {run["sheet"]["count"] for run in groups[0]["runs"]} == {8}
    (page,) = compare_page(groups)
    fd = [f"{reference(m)['metrics']['fd']['value']:.2f}" for m in ("crdi", "gan_inversion")]
    assert page["couples"] == 8 and page["shots"] == 10
    assert all(value in page["numbers"] for value in fd)
    assert (
        "Only the first samples of CRDI (closed form), seed 0 and of GAN inversion, seed 0 are "
        "stored here." in page["status"]
    )


@needs_node
def test_a_strip_stands_beside_a_sheet(tmp_path):
    results, out = tmp_path / "results", tmp_path / "report"
    own = [reference("crdi"), reference("gan_inversion")]
    leave(own[0], results, level=40)
    other = results / run_folder_name(own[1], own[1]["run_id"])
    shutil.copytree(next(REFERENCE.rglob(f"*-{own[1]['run_id']}")), other)
    index = write_report(own, results=results, out=out)
    (page,) = compare_page(groups_of(index))
    assert page["couples"] == 8
    assert "Only the first samples of GAN inversion, seed 0 are stored here." in page["status"]


def test_a_damaged_strip_is_named_and_not_shown(tmp_path):
    results, record = tmp_path / "results", reference("crdi")
    folder = results / run_folder_name(record, record["run_id"])
    shutil.copytree(next(REFERENCE.rglob(f"*-{record['run_id']}")), folder)
    (folder / "samples.webp").write_bytes(b"no image")
    index = write_report([record], results=results, out=tmp_path / "report")
    page = Page(index.parent / run_page(record))
    assert "samples.webp" in page.text and "is no image" in page.text
    assert "pic-strip" not in page.ids


def test_a_caption_says_what_is_not_there():
    assert strip_caption(1, 500).startswith("The run's first sample, in index order; the other")
    assert strip_caption(8, 8) == "The run's samples, eight in all, in index order."
