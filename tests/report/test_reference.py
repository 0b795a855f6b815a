"""The committed records, the tables that they give, and the settings that made them."""

import hashlib
import json

import pytest
import yaml
from helpers import ROOT, make_cell
from report_records import record as made

from fsig_bench.api.weights import manifest_entry
from fsig_bench.metrics.spectrum import GRIDS
from fsig_bench.report.markdown import report
from fsig_bench.report.records import load
from fsig_bench.report.tables import write_tables
from tools import crdi_scores, families
from tools.results_tables import between_marks, pages, summary

FOLDER = ROOT / "results" / "reference"
CHANCE = ("subset", "seed", "draw")
PATHS = sorted(FOLDER.rglob("record.json"))


@pytest.fixture(scope="module")
def records():
    return load([FOLDER])


def test_the_tables_are_rebuilt_to_the_byte(records):
    assert (FOLDER / "tables.md").read_text() == report(records)


def test_every_table_keeps_its_bytes(records, tmp_path):
    """`tests/pinned_tables.json` holds the sha256 of each Markdown and CSV file."""
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in write_tables(records, tmp_path)
        if path.suffix in (".md", ".csv")
    }
    assert digests == json.loads((ROOT / "tests" / "pinned_tables.json").read_text())


def test_the_page_of_crdi_shows_the_tables_of_its_solvers():
    assert crdi_scores.PAGE.read_text() == crdi_scores.page()


def test_readme_and_results_page_show_them():
    for path, text in pages().items():
        assert path.read_text() == text, "python -m tools.results_tables"


def test_the_page_of_the_families_shows_its_tables():
    assert families.PAGE.read_text() == families.page(), "python -m tools.families"


def test_a_family_has_mean_and_deviation_and_lacks_what_was_not_run():
    names = [name for name in families.METRICS if name != "fd"]
    rows = [
        made(
            method,
            dataset=target,
            seed=s,
            subset=s,
            metrics={"fd": {"value": fd + 3 * s}} | {n: {"value": 0.25} for n in names},
            nfe_adapt=1000,
            trained_params=4321,
        )
        for method, target, fd in (
            *(("cdc", "babies", 10.0), ("cdc", "sketches", 20.0)),
            *(("tgan", "babies", 5.0), ("tgan", "sketches", 30.0)),
            ("ewc", "babies", 1.0),  # on one target only
        )
        for s in (0, 1)
    ]
    text = families.section(rows)
    first, second = text.split("## Sketches")
    # Values 10 and 13: mean 11.5, deviation 3 / sqrt(2); tgan is nearer on Babies, cdc on Sketches.
    assert "| 2 | 11.5 ± 2.1 | 0.25 ± 0.00 | 0.250 ± 0.000 |" in first
    assert "| 1,500 | 4,321 |" in first
    assert first.index("6.5 ± 2.1") < first.index("11.5 ± 2.1")
    assert second.index("21.5 ± 2.1") < second.index("31.5 ± 2.1")
    assert "2.5 ± 2.1" not in first and "`ewc`" in second.split("so far:")[1]
    assert "`cdc`" not in second.split("so far:")[1]


def test_the_summary_takes_the_fastest_run_and_the_target_as_the_unit():
    """Fastest runs of 10, 20 and 30 s; mean distances of 10, 20 and 60 on three targets."""
    others = {name: {"value": 0.5} for name in ("copy_rate", "factor_coverage", "source_leakage")}
    rows = [
        made(
            method,
            dataset=target,
            seed=s,
            subset=s,
            metrics={"fd": {"value": fd + 4 * s - 2}, **others},
            timing_s={"adapt": seconds + 500 * (s == slow), "sample": 1.0, "score": 90.0},
            nfe_adapt=100,
        )
        for method in ("a", "b")
        for target, fd, seconds, slow in (
            *(("babies", 10.0, 9.0, 0), ("cats", 20.0, 19.0, 1)),
            ("obama", 60.0, 29.0, 1),
        )
        for s in (0, 1)
    ]
    head, _, line, _ = summary(rows).splitlines()
    # Deviation 26.46 over sqrt(3), times 4.303, Student's t at two degrees of freedom.
    assert "| A | 1.50 | 30.0 (-35.7 to 95.7) | 0.500 | 0.500 | 0.500 | 600 | 20 |" == line
    assert "Frechet distance ↓ (95 %)" in head


def test_a_page_without_its_markers_is_refused():
    with pytest.raises(ValueError, match="once"):
        between_marks("a page\n<!-- tables -->\n", "a table")
    whole = "a\n<!-- tables -->\nold\n<!-- end of tables -->\nb\n"
    assert between_marks(whole, "new") == whole.replace("\nold\n", "\n\nnew\n\n")


def test_the_committed_records_are_whole(records):
    """Those up to version 2 have keys without the code, which are compared with nothing today."""
    assert len(records) == len(PATHS) > 100
    for record in records:
        numbers = [m["value"] for m in record["metrics"].values()]
        assert numbers and all(v is None or v == v for v in numbers)
        assert record.get("record_version", 1) >= 3 or record["draw"] == record["seed"]


MAIN = yaml.safe_load((ROOT / "conf" / "tune" / "mini.yaml").read_text())["spaces"]
CELL = 480  # core-seconds: four minutes on two cores


def fastest_runs(records):
    """The core-seconds of each main method's fastest run on each target."""
    found = {}
    for r in records:
        if r["method"] in MAIN:
            place = r["method"], r["dataset"]
            took = sum(r["timing_s"][stage] for stage in ("adapt", "sample", "score"))
            found[place] = min(took, found.get(place, took))
    return found


def test_a_cell_of_a_main_method_takes_four_minutes_on_two_cores(records):
    """But for D2C-style, whose proposals serve all targets of a draw (docs/tuning.md, Time)."""
    found = fastest_runs(records)
    assert {method for method, _ in found} == set(MAIN) and len(found) == 6 * len(MAIN)
    too_long = {method for (method, _), took in found.items() if took > CELL}
    assert too_long == {"d2c"}


def test_all_records_were_scored_by_the_same_versions_of_the_metrics(records):
    """A version stays only while golden cases keep their bytes (`fsig_bench.runner.golden`)."""
    marks = {}
    for record in records:
        for name, code in record["code"]["classes"].items():
            if ".metrics." in name:
                marks.setdefault(name, set()).add(code["mark"])
    assert len(marks) > 10
    assert all(len(own) == 1 and own.pop().startswith("version ") for own in marks.values())


def test_the_page_of_domainstudio_counts_the_runs_with_grids(records):
    spectra = {
        (r["method"], r["dataset"], r["seed"]): r["metrics"]["spectrum"]
        for r in records
        if r["dataset"] != "metfaces"
    }
    own = {place: s for place, s in spectra.items() if place[0] == "domainstudio"}
    grids = {place: s for place, s in own.items() if s["largest_at"] in GRIDS}
    page = " ".join((ROOT / "docs" / "methods" / "domainstudio.md").read_text().split())
    assert f"in {len(grids)} of the {len(own)} committed runs on targets other than" in page
    values = [s["value"] for s in grids.values()]
    of_source = [
        spectra["source", *place]["by_band_db"][s["largest_at"]] for (_, *place), s in grids.items()
    ]
    assert f"by {min(values):.0f} to {max(values):.0f} dB" in page
    assert f"departs by {min(of_source):.0f} to {max(of_source):.0f} dB" in page


def test_the_pages_state_what_a_first_cell_of_d2c_takes():
    runs = [
        json.loads(p.read_text())["timing_s"] for p in FOLDER.glob("mini/d2c/*/k10-seed1-*/*.json")
    ]
    made = min(t["adapt"] + t["sample"] for t in runs)
    told = f"about {round(made, -1):.0f} core-seconds"
    for name in ("docs/tuning.md", "docs/methods/d2c.md"):
        text = " ".join((ROOT / name).read_text().split())
        assert told in text, name


@pytest.mark.parametrize("path", [p for p in PATHS if json.loads(p.read_text()).get("code")])
def test_the_committed_settings_are_the_run(path):
    record = json.loads(path.read_text())
    words = [f"{key}={record[key]}" for key in ("method", "dataset", *CHANCE, "k", "num_images")]
    cell = make_cell(*words)
    assert cell.run_id == record["run_id"]
    assert all(manifest_entry(w)["sha256"] == sha for w, sha in record["weights"].items())
