"""Paper tables: what stands in a cell, what may share a column, what the renderers make of it."""

import csv
import io
import re
import shlex
import shutil
import subprocess
from dataclasses import replace

import pytest
from helpers import ROOT, composed
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fsig_bench.report.records import load
from fsig_bench.report.tables import (
    build_table,
    load_spec,
    render_markdown,
    table_names,
    write_tables,
)
from fsig_bench.report.tables import choose as choosing
from fsig_bench.report.tables.csv_file import render_csv
from fsig_bench.report.tables.latex import escaped, narrowed, render_latex
from fsig_bench.report.tables.marks import printed_marks
from fsig_bench.report.tables.model import Column, TableCell
from fsig_bench.report.tables.spec import parse_spec
from fsig_bench.report.tables.verdicts import band_of, word_of
from fsig_bench.runner.checks import check_protocol, check_suite

PAPERS = ("crdi_table2", "crdi_table3", "d2c_fewshot", "ddpm_ant", "intra_lpips", "rs_imle_fid")
NAMES = tuple(sorted((*PAPERS, "main")))
COLUMN = Column(
    **{"kind": "paper", "domain": "Babies", "dataset": "babies", "metric": "FID", "arrow": "↓"},
    **{"harness_metric": "fd", "heading": "Babies", "decimals": 2, "shots": 10, "protocol": ""},
)


@pytest.fixture(scope="module")
def reference():
    return load([ROOT / "results" / "reference"])


@pytest.fixture(scope="module")
def empty():
    return {name: build_table(load_spec(name), []) for name in NAMES}


def record(
    method="crdi_official", dataset="babies", protocol="crdi2024", seed=0, value=47.0, **changes
):
    """A finished run of the paper suite, as the harness would have written it."""
    config = {
        "protocol": choosing.compose_parts(("suite=paper", f"protocol={protocol}"))["protocol"],
        **{
            part: choosing.compose_parts(("suite=paper", f"method={method}", f"dataset={dataset}"))[
                part
            ]
            for part in ("method", "dataset")
        },
    }
    metric = {"value": value, "extractor": "inception", "n_fake": 5000}
    return {
        **{"suite": "paper", "method": method, "dataset": dataset, "k": 10, "seed": seed},
        **{
            "subset": 0,
            "draw": seed,
            "num_images": 5000,
            "protocol": protocol,
            "protocol_hash": protocol[:4],
        },
        **{"run_id": f"{method}-{dataset}-{protocol}-{seed}", "metrics": {"fd": metric}},
        **{"config": config, "weights": {}},
        **changes,
    }


def cell(table, method, domain, kind="paper", metric="FID", panel=0):
    there = table.panels[panel]
    row = next(r for r in there.rows if r.label == method)
    found = [
        c
        for col, c in zip(there.columns, row.cells, strict=True)
        if (col.domain, col.kind, col.metric) == (domain, kind, metric)
    ]
    assert len(found) == 1
    return found[0]


def built(records, name="crdi_table2"):
    return build_table(load_spec(name), records)


def test_the_tables_that_there_are():
    assert tuple(table_names()) == NAMES


def test_rows_and_values_are_the_papers(empty):
    rows = [r.label for r in empty["crdi_table2"].panels[0].rows]
    assert rows[:2] == ["TGAN", "TGAN+ADA"]
    assert rows[-2:] == ["GenDA-Mondal", "CRDI"]
    assert cell(empty["crdi_table2"], "CRDI", "Sunglasses").value == 24.62
    assert cell(empty["crdi_table3"], "GenDA-Mondal", "Babies", panel=0).value == 105.13
    assert cell(empty["crdi_table3"], "CRDI", "Babies", panel=2).value == 48.52
    assert cell(empty["ddpm_ant"], "DDPM-ANT", "Babies").value == 46.7
    assert cell(empty["rs_imle_fid"], "RS-IMLE", "Shells").value == 55.4


@pytest.mark.parametrize(
    ("name", "count"), [("crdi_table2", 45), ("crdi_table3", 12), ("rs_imle_fid", 54)]
)
def test_no_printed_number_of_the_table_is_lost(empty, name, count):
    cells = [c for p in empty[name].panels for r in p.rows for c in r.cells]
    assert sum(c.value is not None for c in cells) == count


def test_best_is_marked_within_a_family_only(empty):
    table = empty["crdi_table2"]
    marks = {r.label: cell(table, r.label, "Babies").mark for r in table.panels[0].rows}
    best = {m for m, mark in marks.items() if mark == "best"}
    assert best == {"DDPM-PA", "RICK", "CRDI"}  # of cdc, adam and crdi
    assert {m for m, mark in marks.items() if mark == "second"} == {"CDC"}  # adam, crdi: only two
    assert cell(table, "TGAN+ADA", "Babies").mark == ""


def test_numbers_of_unknown_family_are_ranked_with_nothing(empty):
    table = empty["crdi_table2"]
    unknown = [cell(table, m, "MetFaces") for m in ("TGAN", "EWC", "CDC", "FreezeD")]
    assert {c.like for c in unknown} == {"unknown"}
    assert {c.mark for c in unknown} == {""}


def test_unlike_families_are_told_apart_in_print(empty):
    text = render_markdown(empty["crdi_table2"])
    row = next(line for line in text.splitlines() if line.startswith("| RICK"))
    assert row.split("|")[2].strip() == "adam"
    assert "76.81 <sup>unknown</sup>" in text
    header = next(x for x in render_markdown(empty["intra_lpips"]).splitlines() if "DCL (cdc)" in x)
    assert all(f"({family})" in header for family in ("cdc", "adam", "crdi"))


@pytest.mark.parametrize(
    ("values", "arrow", "marks"),
    [
        ([3, 1, 2], "↓", ["", "best", "second"]),
        ([3, 1, 2], "↑", ["best", "", "second"]),
        ([1, 1, 2, 3], "↓", ["best", "best", "second", ""]),
        ([1.001, 1.004, 2, 3], "↓", ["best", "best", "second", ""]),  # equal as shown
        ([1, 2], "↓", ["best", ""]),
        ([1], "↓", [""]),
        ([1, 1], "↓", ["", ""]),
        ([1, 2, 3], "", ["", "", ""]),
    ],
)
def test_marks(values, arrow, marks):
    cells = [TableCell(value=float(v), like="cdc") for v in values]
    found = printed_marks(replace(COLUMN, arrow=arrow), cells)
    assert [found.get(i, "") for i in range(len(cells))] == marks


def test_marks_pass_over_gaps_and_other_families():
    cells = [TableCell(value=2.0, like="a"), TableCell(gap="run"), TableCell(value=1.0, like="b")]
    assert printed_marks(COLUMN, cells) == {}


def test_ours_stands_beside_the_printed_number_with_spread_and_runs():
    runs = [record(seed=s, value=v) for s, v in enumerate((46.0, 47.0, 48.0))]
    table = built([*runs, record(protocol="ours", value=30.0)])
    rerun, ours = (cell(table, "CRDI", "Babies", kind) for kind in ("rerun", "ours"))
    assert (rerun.value, rerun.std, rerun.seeds) == (47.0, 1.0, ("0", "1", "2"))
    assert (ours.value, ours.std) == (30.0, None)
    assert not rerun.remarks
    text = render_markdown(table)
    assert re.search(r"\*\*48.52\*\* \|\s+47.00 ± 1.00 \(3\) \|\s+30.00 \(1\)", text)


def test_numbers_do_not_depend_on_the_order_of_records():
    cells = [(m, d, s) for m in ("crdi", "genda") for d in ("babies", "metfaces") for s in (0, 1)]
    runs = [record(m, d, seed=s, value=s + 1.0) for m, d, s in cells]
    assert built(runs) == built(runs[::-1])


def test_ours_of_one_set_of_shots_is_not_marked():
    pair = [("crdi_official", 47.0), ("genda", 60.0)]
    table = built([record(m, seed=s, value=v + 0.1 * s) for m, v in pair for s in range(5)])
    assert cell(table, "CRDI", "Babies", "rerun").mark == ""
    assert cell(table, "CRDI", "Babies", "paper").mark == "best"
    assert "Ours are not marked: a mark claims something of new shots" in render_markdown(table)
    assert "leaves out the choice of the shots" in table.caption


def test_mini_records_never_stand_in_a_papers_table(reference, empty):
    for name in PAPERS:
        assert build_table(load_spec(name), reference) == empty[name]
    disguised = record(suite="mini")
    assert cell(built([disguised]), "CRDI", "Babies", "rerun").gap == "run"


def test_other_numbers_of_shots_stay_out():
    assert cell(built([record(k=5)]), "CRDI", "Babies", "rerun").gap == "run"


def test_a_changed_protocol_is_left_out_and_named():
    changed = record()
    changed["config"]["protocol"] = {**changed["config"]["protocol"], "samples": 200}
    table = built([changed])
    assert cell(table, "CRDI", "Babies", "rerun").gap == "run"
    assert "samples (200, not 5000)" in table.left_out[0]
    assert changed["run_id"].replace("_", r"\_") in render_markdown(table)


def test_composing_leaves_a_running_application_alone():
    choosing.compose_parts.cache_clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        choosing.compose_parts(("suite=paper", "protocol=cdc2021"))
        assert compose("config", ["protocol=adam2022"]).protocol.name == "adam2022"


def test_settings_of_unlike_hash_are_not_mixed():
    kept = [record(seed=s) for s in (0, 1)]
    other = record(seed=2, value=1.0, protocol_hash="other", num_images=6000)
    table = built([*kept, other])
    assert cell(table, "CRDI", "Babies", "rerun").runs == tuple(r["run_id"] for r in kept)
    assert "num_images (6000 / 5000)" in table.left_out[0]


def test_other_settings_of_a_method_are_not_averaged_in():
    kept = [record(seed=s) for s in (0, 1)]
    other = record(seed=2, value=1.0)
    other["config"]["method"] = {**other["config"]["method"], "segments": 1}
    table = built([*kept, other])
    assert cell(table, "CRDI", "Babies", "rerun").value == 47.0
    assert "Left out, other settings of crdi_official on babies" in table.left_out[0]
    alone = cell(built([other]), "CRDI", "Babies", "rerun")
    assert alone.remarks == ("not with the committed settings: segments (1, not 15)",)


def test_shots_that_were_read_otherwise_are_another_setting():
    kept = [record(seed=s) for s in (0, 1)]
    other = record(seed=2, value=1.0)
    other["config"]["dataset"] = other["config"]["dataset"] | {"shots_resize": None}
    table = built([*kept, other])
    assert cell(table, "CRDI", "Babies", "rerun").value == 47.0
    assert "Left out, other settings of crdi_official on babies" in table.left_out[0]
    (remark,) = cell(built([other]), "CRDI", "Babies", "rerun").remarks
    assert remark.endswith("dataset.shots_resize (None, not squash_pil_bilinear)")


def test_cells_short_of_seeds_say_how_to_complete_them():
    full = render_markdown(built([record(seed=s) for s in (0, 1, 2)]))
    assert "3 runs are planned" not in full
    assert "3 runs are planned" in render_markdown(built([record(seed=0)]))


def test_a_metric_without_value_gives_its_reason():
    failed = record(metrics={"fd": {"value": None, "reason": "no reference images"}})
    table = built([failed])
    assert cell(table, "CRDI", "Babies", "rerun").gap == "reason"
    assert "no reference images" in render_markdown(table)


def commands(table):
    cells = [c for p in table.panels for r in p.rows for c in r.cells]
    return list(dict.fromkeys(c.why for c in cells if c.gap == "run"))


@pytest.mark.parametrize("name", NAMES)
def test_missing_cells_give_a_command_that_composes(empty, name):
    metrics = {c.harness_metric for p in empty[name].panels for c in p.columns if c.kind != "paper"}
    for text in commands(empty[name]):
        words = shlex.split(text)
        assert words[:4] == ["python", "-m", "fsig_bench", "-m"]
        keys = [w.split("=")[0] for w in words[4:]]
        values = [w.split("=")[1].split(",")[-1] for w in words[4:]]
        overrides = [f"{k}={v}" for k, v in zip(keys, values, strict=True)]
        config = composed(*overrides)
        plain = {k: OmegaConf.to_container(config[k]) for k in ("suite", "method", "dataset")}
        plain["protocol"] = OmegaConf.to_container(config.protocol, resolve=False)
        check_protocol({**plain, "num_images": config.num_images, "k": config.k})
        check_suite(plain)  # the target exists in this suite
        assert metrics & set(config.protocol.metrics)


def test_a_table_without_gaps_gives_no_command(empty):
    assert commands(empty["d2c_fewshot"]) == []
    assert "Not run yet" not in render_markdown(empty["d2c_fewshot"])


def test_commands_run_nothing_that_is_there():
    table = built([record(seed=s) for s in (0, 1, 2)])
    mine = [c for c in commands(table) if "method=crdi" in c and "protocol=crdi2024" in c]
    assert len(mine) == 1
    assert "dataset=sunglasses,metfaces " in mine[0]


def test_main_is_the_reference_records(reference):
    table = build_table(load_spec("main"), reference)
    row = next(r for r in table.panels[0].rows if r.label == "CRDI (closed form)")
    values = [
        r["metrics"]["fd"]["value"]
        for r in reference
        if (r["method"], r["dataset"]) == ("crdi", "babies")
    ]
    assert row.cells[0].value == pytest.approx(sum(values) / len(values))
    assert len(row.cells[0].runs) == len(values)
    controls = [r for r in table.panels[0].rows if not r.ranked]
    assert {"copy", "real", "source"} <= {r.label for r in controls}
    assert {c.mark for r in controls for c in r.cells} == {""}


def test_every_number_can_be_followed_to_its_runs(reference):
    table = build_table(load_spec("main"), reference)
    lines = list(csv.DictReader(io.StringIO(render_csv(table))))
    by_id = {r["run_id"]: r for r in reference}
    for line in lines:
        found = [
            by_id[i]["metrics"][line["harness_metric"]]["value"] for i in line["run_ids"].split()
        ]
        scale = 1000 if line["harness_metric"] == "kid" else 1
        assert [float(v) for v in line["values"].split()] == [v * scale for v in found]
        assert float(line["value"]) == pytest.approx(sum(found) / len(found) * scale)
    cells = [c for p in table.panels for r in p.rows for c in r.cells]
    assert len(lines) == sum(c.value is not None for c in cells)


def test_files_are_byte_identical_twice(tmp_path, reference):
    one = write_tables(reference, tmp_path / "a")
    two = write_tables(list(reference)[::-1], tmp_path / "b")
    assert [p.name for p in one] == [p.name for p in two]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    assert len(one) == 3 * len(NAMES) + 2


def test_unknown_names_write_nothing(tmp_path):
    with pytest.raises(ValueError, match="no table 'table9'; there are crdi_table2"):
        write_tables([], tmp_path / "out", ["crdi_table2", "table9"])
    assert not (tmp_path / "out").exists()


def test_markdown_grids_are_rectangular(empty, reference):
    tables = [*empty.values(), build_table(load_spec("main"), reference)]
    for table in tables:
        for grid in re.findall(r"(?:^\|.*\n)+", render_markdown(table), flags=re.M):
            assert len({line.count("|") for line in grid.splitlines()}) == 1


def test_latex_specials_are_escaped():
    assert escaped("a_b & 50% #1 $x {y} ~ ^ \\") == (
        r"a\_b \& 50\% \#1 \$x \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert escaped("↓ ±") == r"\(\downarrow\) \(\pm\)"


def structure(text):
    """Checks what a compiler would stumble over: environments, braces, cells of each row."""
    text = re.sub(r"(?<!\\)%.*", "", text)
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    found = re.findall(
        r"\\begin\{tabular\}\{(l+ [^\n]*)\}\n(.*?)\\end\{tabular\}", text, flags=re.S
    )
    tabulars = [(head.partition(" ")[0] + "S" * head.count("S["), body) for head, body in found]
    for columns, body in tabulars:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        for row in rows:
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + spans == len(columns) - 1, row
    outside = re.sub(r"\\begin\{tabular\}.*?\\end\{tabular\}", "", text, flags=re.S)
    assert not re.search(r"(?<!\\)[&#$^]", outside)
    return len(tabulars)


def test_latex_is_well_formed(empty, reference):
    assert structure(render_latex(empty["crdi_table3"])) == 3
    assert structure(render_latex(empty["crdi_table2"])) == 2  # ten columns: six and four
    for table in (*empty.values(), build_table(load_spec("main"), reference)):
        assert structure(render_latex(table)) == len(narrowed(table.panels))
        for panel in narrowed(table.panels):
            assert len(panel.columns) <= 6
        bare = render_latex(table, with_footnotes=False)
        assert structure(bare) and "textsuperscript" not in bare and "minipage" not in bare
        assert "resizebox" not in bare


def test_latex_marks_numbers_and_cites(empty):
    text = render_latex(empty["crdi_table2"])
    assert r"\bfseries 48.52" in text
    assert r"\underline{\num{74.39}}" in text
    assert r"\cite{cao2024crdi}" in text
    table = built([record(seed=s, value=v) for s, v in ((0, 46.0), (1, 48.0))])
    text = render_latex(table)
    assert r"47.00 \pm 1.41 {\,(2)}" in text
    assert r"S[table-format = 2.2(3), table-space-text-post = {\,(2)}]" in text
    assert r"47.00 \pm 1.41 &" in render_latex(table, with_footnotes=False)


@pytest.mark.slow
def test_document_compiles(tmp_path, reference):
    quiet = ["-interaction=nonstopmode", "-halt-on-error"]
    compilers = {"tectonic": ["tectonic"], "pdflatex": ["pdflatex", *quiet]}
    there = next((words for name, words in compilers.items() if shutil.which(name)), None)
    if there is None:
        pytest.skip("neither tectonic nor pdflatex is on PATH; the structure is checked above")
    write_tables(reference, tmp_path)
    done = subprocess.run([*there, "document.tex"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def spec_with(**changes):
    node = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "table" / "crdi_table3.yaml"))
    return parse_spec("mine", {**node, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "other"}, "kind='other'; choose paper or records"),
        ({"colour": 1}, "unknown keys colour"),
        ({"title": None}, "lacks title"),
        ({"metrics": {"FID": {"better": "more", "decimals": 2}}}, "better='more'; choose one of"),
        ({"panels": [{"columns": [{"domain": "Babies", "metric": "KID"}]}]}, "Babies shows KID"),
    ],
)
def test_bad_specifications_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        spec_with(**changes)


def test_a_misspelt_row_or_domain_is_refused():
    with pytest.raises(ValueError, match="nothing printed for the rows CRDi"):
        build_table(spec_with(methods=["CRDI", "CRDi"]), [])
    with pytest.raises(ValueError, match="nothing printed for Baby, FID, 10 shots"):
        build_table(spec_with(panels=[{"columns": [{"domain": "Baby", "metric": "FID"}]}]), [])


@pytest.mark.parametrize(
    ("value", "word"),
    [(45.0, "inside"), (51.0, "inside"), (53.9, "near"), (42.1, "near"), (72.15, "outside")],
)
def test_a_rerun_is_set_beside_the_band_where_it_should_land(value, word):
    table = built([record(value=value), record(protocol="ours", value=1.0)])
    (sentence,) = table.verdicts
    start = f"CRDI, Babies, FID, 10 shots: {value:.2f} is {word} 45.00 to 51.00 (printed 48.52"
    assert sentence.startswith(start) and start in render_markdown(table)
    assert ("look at: the reference: without resizing" in sentence) == (word == "outside")


def test_a_band_is_the_printed_spread_or_is_said_to_be_assumed():
    (sentence,) = built([record("genda", value=63.31 * 1.08)]).verdicts
    assert sentence.endswith(
        "is near 58.88 to 67.74 (no spread is printed: 7% either side of 63.31 are assumed)."
    )
    band = band_of(TableCell(value=0.592, std=0.016), None)
    assert (band.low, band.high) == pytest.approx((0.56, 0.624))
    assert word_of(0.65, band) == "near" and word_of(0.66, band) == "outside"
    assert band_of(TableCell(gap="unprinted"), None) is None
    with pytest.raises(ValueError, match="low=51 is not below high=45"):
        wrong = {"method": "CRDI", "domain": "Babies", "metric": "FID", "low": 51, "high": 45}
        spec_with(expected=[wrong | {"why": "-"}])


@pytest.mark.parametrize(
    ("method", "label", "dataset", "domain", "how"),
    [
        ("cdc", "CDC", "babies", "Babies", "scored as cdc2021"),
        ("ada", "TGAN+ADA", "babies", "Babies", "scored under no protocol that is known here"),
        ("cdc", "CDC", "metfaces", "MetFaces", "scored under no protocol that is known here"),
    ],
)
def test_numbers_that_were_not_scored_alike_get_a_remark_and_no_verdict(
    method, label, dataset, domain, how
):
    table = built([record(method, dataset, value=50.0), record(value=47.0)])
    (sentence,) = table.verdicts
    assert sentence.startswith("CRDI, Babies")
    own = cell(table, label, domain, "rerun")
    remark = f"the printed number was {how}, this one as crdi2024: not to be compared"
    assert own.value == 50.0 and own.remarks == (remark,)
    assert remark in render_markdown(table).replace("\\_", "_")
    assert cell(table, "CRDI", "Babies", "rerun").remarks == ()
    assert cell(table, label, domain, "ours").remarks == ()


def test_a_band_that_a_table_states_needs_no_printed_number_of_the_same_rules():
    spec = load_spec("crdi_table2")
    stated = replace(spec.expected[0], method="CDC", low=40.0, high=49.0, why="reruns of ours")
    table = build_table(replace(spec, expected=(stated,)), [record("cdc", value=50.0)])
    (sentence,) = table.verdicts
    assert sentence.endswith("50.00 is near 40.00 to 49.00 (reruns of ours).")


def test_the_legend_calls_a_protocol_the_papers_only_where_it_is(empty):
    mixed, alike = (" ".join(empty[name].legend) for name in ("crdi_table2", "crdi_table3"))
    assert "the paper's protocol" not in mixed and "re-run here under protocol crdi2024" in mixed
    assert "re-run beside them: printed numbers of family cdc, unknown." in mixed
    assert "re-run here under the paper's protocol (crdi2024)" in alike
    assert "Not to be compared" not in alike


def test_what_a_paper_does_not_print_is_not_queued(empty):
    """DDPM-PA has no MetFaces in Table 2."""
    for kind in ("rerun", "ours"):
        assert cell(empty["crdi_table2"], "DDPM-PA", "MetFaces", kind).gap == "unprinted"
        assert cell(empty["crdi_table2"], "DDPM-PA", "Babies", kind).gap == "run"
    texts = [t for t in commands(empty["crdi_table2"]) if "method=domainstudio" in t]
    assert texts and not any("metfaces" in text for text in texts)


def test_missing_cells_are_run_by_the_tables_own_experiment(empty):
    for text in commands(empty["crdi_table2"]):
        words = shlex.split(text)[4:]
        method = next(w.split("=")[1] for w in words if w.startswith("method="))
        assert words[0] == f"experiment={load_spec('crdi_table2').experiments[method]}"
        # A seed stands for adapting and for drawing, as in the experiment.
        own = [w for w in words if not w.startswith(("dataset=", "seed="))]
        config = composed(*own, "dataset=babies", "seed=2")
        assert config.draw == 2 and config.suite.name == "paper"
