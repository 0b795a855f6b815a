"""Printed numbers: what is imported, how it is checked, and that nothing is taken on memory."""

import csv
import dataclasses
import re

import pytest

from fsig_bench.report.published import COLUMNS, FOLDER, load_names, load_published
from fsig_bench.report.tables.spec import load_spec, table_names

ROW = {
    **{"method": "CRDI", "source_domain": "FFHQ", "target_domain": "Babies", "shots": "10"},
    **{"metric": "FID", "value": "48.52", "std": "", "family": "crdi", "provenance": "read"},
    **{"paper": "CRDI", "year": "2024", "arxiv": "2407.07249", "table": "Table 2"},
    **{"notes": "", "discrepancy": ""},
}


def folder(tmp_path, *rows, columns=COLUMNS):
    (tmp_path / "names.yaml").write_text((FOLDER / "names.yaml").read_text())
    with (tmp_path / "some.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


def number(paper, table, method, domain, metric, shots=10, family=None):
    found = [
        r
        for r in load_published()
        if (r.paper, r.table, r.method, r.target_domain, r.metric, r.shots)
        == (paper, table, method, domain, metric, shots)
        and family in (None, r.family)
    ]
    assert len(found) == 1
    return found[0]


def test_every_row_is_there_and_known_by_reading_or_copying():
    rows = load_published()
    assert len(rows) == 563
    by_paper = {p: sum(r.paper == p for r in rows) for p in ("CRDI", "DPMs-ANT", "RS-IMLE", "D2C")}
    assert by_paper == {"CRDI": 57, "DPMs-ANT": 114, "RS-IMLE": 54, "D2C": 4}
    assert sum(r.provenance == "read" for r in rows) == 502
    assert sum(r.provenance == "copied" for r in rows) == 61
    assert not [r for r in rows if "recalled" in r.notes + r.discrepancy]


@pytest.mark.parametrize(
    ("place", "value", "family"),
    [
        (("CRDI", "Table 2", "CRDI", "Babies", "FID"), 48.52, "crdi"),
        (("CRDI", "Table 2", "RICK", "Sunglasses", "FID"), 25.22, "adam"),
        (("CRDI", "Table 2", "TGAN", "Babies", "FID"), 104.79, "cdc"),
        (("CRDI", "Table 2", "TGAN+ADA", "Babies", "FID"), 101.58, "unknown"),
        (("CRDI", "Table 2", "CRDI", "MetFaces", "MC-SSIM"), 0.78, "crdi"),
        (("CRDI", "Table 3", "GenDA-Mondal", "Sunglasses", "FID", 1), 83.7, "crdi"),
        (("DPMs-ANT", "Table 2", "DDPM-ANT", "Sunglasses", "FID"), 20.06, "cdc"),
        (
            ("RS-IMLE", "main FID table (number unknown)", "RS-IMLE", "Obama", "FID", 100),
            14.0,
            "lowshot",
        ),
        (("D2C", "Table 5 (binary)", "D2C", "CelebA-64 Blond", "FID", 100), 17.61, "other"),
    ],
)
def test_spot_values(place, value, family):
    row = number(*place)
    assert (row.value, row.family) == (value, family)


def test_names_map_to_ours_or_to_none():
    row = number("CRDI", "Table 2", "DDPM-PA", "Babies", "FID")
    assert (row.harness_method, row.dataset, row.harness_metric) == ("domainstudio", "babies", "fd")
    row = number("CRDI", "Table 2", "TGAN", "MetFaces", "MC-SSIM")
    assert (row.harness_method, row.dataset, row.harness_metric) == ("tgan", "metfaces", None)
    row = number("CRDI", "Table 2", "BSA", "Babies", "FID")
    assert (row.harness_method, row.dataset, row.harness_metric) == (None, "babies", "fd")


def test_names_exist_in_the_configuration():
    names, conf = load_names(), FOLDER.parent.parent / "conf"
    for group, there in (
        ("method", names.methods.values()),
        ("in_suite/dataset/paper", names.domains.values()),
        ("metric", [m for m in names.metrics.values() if m]),
        ("protocol", [f.protocol for f in names.families.values() if f.protocol]),
    ):
        missing = [n for n in there if not (conf / group / f"{n}.yaml").exists()]
        assert not missing, f"{group}: {missing}"


def test_conflicts_within_a_paper_are_written_down():
    assert "62.14" in number("CRDI", "Table 2", "GenDA-Mondal", "Babies", "FID").discrepancy
    assert "63.31" in number("CRDI", "Table 3", "GenDA-Mondal", "Babies", "FID").discrepancy


def test_intra_lpips_of_unlike_definitions_is_of_unlike_families():
    families = {r.paper: r.family for r in load_published() if r.metric == "Intra-LPIPS"}
    assert families["CRDI repo log"] == "crdi"
    assert families["DPMs-ANT"] == "cdc"
    assert families["Phasic Content Fusing (DDC)"] == "phasic"


def test_fids_of_a_family_share_network_and_number_of_samples():
    """A family with a protocol holds none that its notes call another one's."""
    rows, families = load_published(), load_names().families
    unlike = re.compile(r"10000 samples|1000 generated|TF Inception|quoted from FastGAN")
    fids = [r for r in rows if r.metric == "FID" and unlike.search(r.notes)]
    assert len(fids) == 3 + 19 + 10 + 5 + 9
    assert {r.family for r in fids if families[r.family].protocol} == set()
    assert {r.paper for r in rows if r.family == "lowshot"} == {"RS-IMLE"}
    own = {(r.paper, r.family) for r in rows if (r.method, r.dataset) == ("FakeCLR", "obama")}
    assert own == {("RS-IMLE", "lowshot"), ("FakeCLR repo", "unknown")}
    assert {r.family for r in rows if r.paper.startswith("Learning Disentangled")} == {"unknown"}
    assert families["lowshot_tf"].protocol is None and families["lowshot_tf"].comparable


def test_rows_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_published()[0].value = 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "nan"}, "value 'nan' is not a finite number"),
        ({"value": "n/a"}, "value 'n/a' is not a finite number"),
        ({"shots": "0"}, "shots '0' is not a positive whole number"),
        ({"metric": "FIDs"}, "metric 'FIDs' is not known.*MC-SSIM"),
        ({"family": ""}, "family '' is not known"),
        ({"provenance": "recalled"}, "provenance 'recalled' is not known; choose one of read"),
        ({"std": "-0.1"}, "std -0.1 is negative"),
        ({"method": " "}, "method is empty"),
    ],
)
def test_bad_fields_are_refused_with_file_and_line(tmp_path, change, words):
    bad = folder(tmp_path, {**ROW, "target_domain": "MetFaces"}, {**ROW, **change})
    with pytest.raises(ValueError, match=rf"some\.csv, line 3: {words}"):
        load_published(bad)


def test_missing_columns_and_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="columns are"):
        load_published(folder(tmp_path, ROW, columns=COLUMNS[:-1]))
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="restore it"):
        load_published(tmp_path / "none")


def test_a_number_stands_once(tmp_path):
    with pytest.raises(ValueError, match=r"there twice \(48.52 and 47.0\); .* discrepancy"):
        load_published(folder(tmp_path, ROW, {**ROW, "value": "47.0"}))


def test_families_of_one_source_stand_side_by_side(tmp_path):
    assert len(load_published(folder(tmp_path, ROW, {**ROW, "family": "other"}))) == 2


def test_citations_resolve_and_entries_are_complete():
    text = (FOLDER / "references.bib").read_text()
    entries = dict(re.findall(r"@\w+\{(\w+),(.*?)\n\}", text, flags=re.S))
    cited = {key for name in table_names() for key in load_spec(name).cite}
    assert cited == set(entries)
    for key, body in entries.items():
        fields = re.findall(r"^\s+(\w+)\s+= \{.*\},?$", body, flags=re.M)
        assert {"author", "title", "booktitle", "year"} <= set(fields), key
        assert body.count("{") == body.count("}"), key
    papers = {r.arxiv for r in load_published()}
    assert all(i in papers for i in re.findall(r"arXiv:([\d.]+)", text))
