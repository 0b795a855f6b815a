"""The HTML report: what its pages say, that its links hold, and the command that repeats a run."""

import json
import shlex

import numpy as np
import pytest
from helpers import composed, make_cell
from html_helpers import Page, altered, leave, reference, tree
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from fsig_bench.metrics.cards import metric_card
from fsig_bench.pictures.tsne import tsne_coordinates, tsne_figure
from fsig_bench.report.html.build import ASSETS, write_report
from fsig_bench.report.html.links import run_page
from fsig_bench.report.html.plots import SHOWN, make_curves, read_points
from fsig_bench.report.html.rows import make_rows, setting_id
from fsig_bench.report.html.run_page import make_metric
from fsig_bench.report.html.unfinished import unfinished_runs
from fsig_bench.report.rerun import hydra_value, rerun_command
from fsig_bench.store.records import write_record
from fsig_bench.store.store import Store

BAD = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for level, method in ((40, "crdi"), (160, "gan_inversion")):
        leave(reference(method), folder, level=level)
    failed = folder / "runs/mini/crdi/cats/k10-seed9-0123456789"
    failed.mkdir(parents=True)
    status = {"status": "failed", "error": f"out of {BAD}", "command": "python -m fsig_bench x=1"}
    (failed / "status.json").write_text(json.dumps(status | {"time": "2026-01-01T00:00:00Z"}))
    return folder


@pytest.fixture(scope="module")
def records():
    own = [reference("crdi", seed=s) for s in range(3)]
    return [*own, reference("gan_inversion"), reference("copy"), reference("crdi", "cats")]


@pytest.fixture(scope="module")
def report(results, records, tmp_path_factory):
    return write_report(records, results=results, out=tmp_path_factory.mktemp("out") / "report")


def page_of(report, record):
    return Page(report.parent / run_page(record))


def test_the_table_has_a_row_a_cell_with_mean_and_spread(report, records):
    page = Page(report)
    body = [own for own in page.all("tr") if "data-setting" in own]
    assert len(body) == 4
    values = [r["metrics"]["fd"]["value"] for r in records[:3]]
    assert f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}" in page.text
    rows = {a for a in page.addresses if a.startswith("rows/") and "#" not in a}
    shown = {a for row in rows for a in Page(report.parent / row).addresses}
    for record in records:  # on the index, or on the page that lists the runs of its row
        assert {run_page(record), f"../{run_page(record)}"} & {*page.addresses, *shown}


def test_every_address_is_there_and_none_leaves_the_folder(report):
    folder = report.parent
    pages = {p: Page(p) for p in folder.rglob("*.html")}
    assert len(pages) == 3 + 6 + 4
    for path, page in pages.items():
        for address in page.addresses:
            if address == "data:,":
                continue
            name, _, place = address.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.is_relative_to(folder.resolve()) and target.is_file(), (path, address)
            if place and target.suffix == ".html":
                assert place in pages[folder / target.relative_to(folder.resolve())].ids, address
    for name, data in tree(folder).items():
        if name.endswith((".html", ".css", ".js")):
            assert b"://" not in data, f"{name} names an address"


def test_a_run_page_says_what_the_record_says(report, records, results):
    record, page = records[0], page_of(report, records[0])
    fd = record["metrics"]["fd"]
    for words in (
        f"{fd['value']:.2f}",
        f"{fd['error']['standard_error']:.2f}",
        fd["extractor"],
        "2,500",
        record["environment"]["git_commit"],
        record["environment"]["packages"]["torch"],
        f"{record['trained_params']:,}",
        rerun_command(record).text,
        "last 0.111111",
        "cluster means",
    ):
        assert words in page.text, words
    assert sum("pictures/" in own.get("src", "") for own in page.all("img")) == 3
    assert all(own.get("alt") for own in page.all("img"))
    tiles = [own for own in page.all("use") if "data-t" in own]
    assert 200 <= len(tiles) <= 300
    assert str(results) not in (report.parent / run_page(record)).read_text()


def test_a_run_without_pictures_says_so(report, records):
    text = page_of(report, records[1]).text
    assert "The results folder has no pictures of this run." in text
    assert "The results folder has no samples of this run." in text


def test_page_has_landmarks_language_and_one_heading(report):
    for path in report.parent.rglob("*.html"):
        page = Page(path)
        names = [tag for tag, _ in page.tags]
        assert names.count("main") == names.count("h1") == names.count("header") == 1, path
        assert page.all("html") == [{"lang": "en"}]
        for field in [*page.all("select"), *page.all("input")]:
            assert names.count("label") and field


def test_it_is_the_same_to_the_byte_when_made_twice(report, records, results, tmp_path):
    again = write_report(records, results=results, out=tmp_path / "again")
    first = tree(report.parent)
    assert tree(again.parent) == first
    write_report(list(reversed(records)), results=results, out=again.parent)
    assert {n for n in tree(again.parent)} == set(first)
    write_report(records, results=results, out=again.parent)
    assert tree(again.parent) == first


def test_leftovers_go_and_foreign_folders_stay(records, results, tmp_path):
    out = tmp_path / "report"
    write_report(records[:1], results=results, out=out)
    write_report(records[3:4], results=results, out=out)
    assert {p.name for p in (out / "runs").iterdir()} == {run_page(records[3])[5:]}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ValueError, match="holds no report"):
        write_report(records, results=results, out=tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match="no record"):
        write_report([], results=results, out=out)


def test_hostile_names_are_shown_as_text(tmp_path):
    record = altered(reference("copy"), dataset='"><img src=x onerror=alert(1)>', run_id="../../up")
    record["config"]["method"]["card"]["label"] = BAD
    record["notes"] = {"warning": f"beware {BAD}", BAD: BAD}
    record["metrics"]["fd"]["extractor"] = "</script><script>alert(2)</script>"
    out = write_report([record], results=tmp_path / "none", out=tmp_path / "report").parent
    assert Store(tmp_path).run_folder(record) is None
    assert len(tree(tmp_path)) == len(tree(out))  # nothing beside the report
    for path in out.rglob("*.html"):
        page = Page(path)
        for own in page.all("script"):
            assert own.get("type") == "application/json" or own["src"].rsplit("/")[-1] in ASSETS
        assert not [own for own in page.all("img") if own.get("src") == "x"]
        assert not [k for _, own in page.tags for k in own if k.startswith("on")]
    assert BAD in Page(out / run_page(record)).text
    assert BAD in Page(out / "index.html").text


def test_failures_are_listed_until_there_is_a_record(report, results):
    (found,) = unfinished_runs(results)
    assert (found.status, found.place) == ("failed", "runs/mini/crdi/cats/k10-seed9-0123456789")
    page = Page(report.parent / "unfinished.html")
    assert f"out of {BAD}" in page.text and "python -m fsig_bench x=1" in page.text
    folder = results / found.place
    (folder / "status.json").replace(folder / "kept")
    (folder / "status.json").write_text("{")
    assert unfinished_runs(results)[0].status == "unreadable"
    (folder / "kept").replace(folder / "status.json")
    (folder / "record.json").write_text("{}")
    (found,) = unfinished_runs(results)
    assert found.status == "damaged" and "record.json is damaged" in found.error
    record = reference("crdi", "cats")
    own = {"method": "crdi", "dataset": "cats", "seed": 9, "run_id": "0123456789"}
    write_record(folder / "record.json", record | own)
    assert unfinished_runs(results) == []
    (folder / "record.json").unlink()


def test_a_broken_picture_or_shard_is_named_and_the_rest_stands(records, tmp_path):
    results = tmp_path / "results"
    folder = leave(records[0], results, level=9)
    (folder / "nearest.png").write_bytes(b"no image")
    (shard,) = (results / "store/sample").rglob("000050-*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-9])
    report = write_report(records[:1], results=results, out=tmp_path / "report")
    page = page_of(report, records[0])
    assert "nearest.png" in page.text and "is damaged" in page.text
    assert sum("pictures/" in own.get("src", "") for own in page.all("img")) == 2


def shown_as(*names):
    return {name: metric_card(name) for name in names}


class TestRows:
    def test_unlike_protocols_never_share_a_row_or_a_setting(self, records):
        other = altered(records[0], protocol_hash="ffffffff", run_id="other")
        assert setting_id(other) != setting_id(records[0])
        assert len(make_rows([records[0], other], shown_as("fd"))) == 2

    def test_runs_with_other_method_settings_are_not_seeds(self, records):
        other = altered(records[2], run_id="other")
        other["config"]["method"]["segments"] = 8
        own, apart = make_rows([*records[:3], other], shown_as("fd"))
        assert len(own.records) == 3 and own.method == "CRDI (closed form)"
        assert apart.method == "CRDI (closed form) [segments=8]" and len(apart.records) == 1

    def test_a_single_run_is_linked_straight_and_a_missing_value_is_a_dash(self, records):
        record = altered(records[0])
        record["metrics"]["fd"]["value"] = None
        (row,) = make_rows([record], shown_as("fd", "kid"))
        assert row.numbers[0].text == "-" and row.numbers[0].mean is None
        assert row.numbers[1].href == f"{run_page(record)}#m-kid"


METHODS = ("crdi", "domainstudio", "finetune", "gan_inversion", "imle", "rs_imle", "real")


class TestCommand:
    @pytest.mark.parametrize("method", METHODS)
    def test_it_repeats_the_settings_of_a_reference_record(self, method):
        record = reference(method)
        command = rerun_command(record)
        assert command.note is None
        assert shlex.split(command.text)[:3] == ["python", "-m", "fsig_bench"]
        cell = make_cell(*shlex.split(command.text)[3:])
        assert cell.identity.items() <= record.items()
        assert cell.run_id == record["run_id"]

    def test_an_earlier_version_of_the_protocol_is_named(self):
        record = reference("copy")
        record["config"]["protocol"]["version"] = 3
        assert "version 3 of its protocol" in rerun_command(record).note

    def test_weights_that_are_no_longer_here_are_named(self):
        record = reference("d2c")
        config = record["config"]
        for backend in (config["suite"]["latent_backend"], config["method"]["backend"]):
            backend["autoencoder"]["weights"] = "baselines/weights/mini/autoencoder.safetensors"
        words = rerun_command(record).words
        with pytest.raises(FileNotFoundError, match="weights autoencoder.safetensors are not"):
            make_cell(*words).run_id  # noqa: B018

    @pytest.mark.parametrize(
        "words",
        [
            ("method=crdi", "method.segments=8", "method.solver=adam", "method.sample.start=noise"),
            ("method=crdi", "k=5", "seed=3", "subset=2", "num_images=70", "dataset.n_ref=300"),
            ("method=copy", "~protocol.metrics.kid", "protocol.samples=100"),
            ("method=source", "+protocol.metrics.fd.extra={a: [1, 1.0, null, 'x y']}"),
            ("method=copy", "suite.shard_size=20"),
            ("method=crdi", "suite.source.weights=baselines/weights/mini/diffusion.safetensors"),
            ("method=d2c", "suite.latent_backend.solver=ddim"),
        ],
    )
    def test_it_carries_changed_settings(self, words):
        cell = make_cell("dataset=babies", *words)
        record = altered(reference("crdi"), config=cell.config)
        for name in ("k", "seed", "subset", "draw", "num_images"):
            record[name] = cell.config[name]
        record["method"] = cell.config["method"]["card"]["name"]
        command = rerun_command(record)
        assert command.note is None
        assert make_cell(*command.words).run_id == cell.run_id

    def test_a_folder_of_images_is_found_by_what_it_constructs(self, tmp_path):
        from PIL import Image

        for i in range(3):
            Image.new("RGB", (64, 64), (i, 9, 9)).save(tmp_path / f"it's {i}.png")
        words = ["dataset=folder", "dataset.name=mine", f"dataset.path={tmp_path}"]
        cell = make_cell("method=copy", "k=2", *words)
        record = altered(reference("copy"), config=cell.config, dataset="mine", k=2)
        assert make_cell(*rerun_command(record).words).run_id == cell.run_id

    def test_only_policies_that_are_not_the_suites_own_are_said(self, tmp_path):
        said = []
        for words in ([], ["precision.adapt=fp32", "precision.score=tf32"]):
            folder = ["dataset=folder", f"dataset.path={tmp_path}", "suite=paper"]
            config = OmegaConf.to_container(composed("method=copy", *folder, *words), resolve=True)
            record = altered(reference("copy"), config=config, dataset="folder", suite="paper")
            said.append([w for w in rerun_command(record).words if w.startswith("precision.")])
        assert said == [[], words]

    def test_an_old_protocol_is_said_and_points_to_its_commit(self):
        record = reference("copy")
        record["config"]["protocol"]["version"] = 1
        note = rerun_command(record).note
        assert "version 1" in note and record["environment"]["git_commit"] in note

    def test_unknown_names_are_said(self):
        record = altered(reference("copy"), method="no_such_method")
        assert "method=copy" in rerun_command(record).words  # known by what it constructs
        record["config"]["method"]["_target_"] = "nowhere.Nothing"
        assert "do not compose here" in rerun_command(record).note

    @pytest.mark.parametrize(
        "value",
        ["a b", "it's", "C:\\x\\'y", "end\\", "null", "1e3", "True", "", "a,b=[c]{d}", "é"],
    )
    def test_text_survives_hydras_grammar(self, value):
        parsed = OverridesParser.create().parse_override(f"x={hydra_value(value)}").value()
        assert parsed == value and isinstance(parsed, str)


class TestPlots:
    def test_each_point_stands_for_the_image_it_was_drawn_from(self, tmp_path):
        """Generated images 0 to 59 lie far from the others; so must the points named so."""
        rng = np.random.default_rng(0)
        features = {
            "target": rng.normal(size=(150, 6)),
            "generated": rng.normal(size=(120, 6)) + 400 * (np.arange(120) < 60)[:, None],
            "shots": rng.normal(size=(10, 6)),
        }
        flat = tsne_coordinates(features, seed=3, limit=80)
        tsne_figure(tmp_path / "tsne.png", flat, title="t")
        points = read_points((tmp_path / "tsne.csv").read_text())
        assert {r: sum(p.role == r for p in points) for r in SHOWN}["shots"] == 10
        drawn = [p for p in points if p.role == "generated"]
        near = np.mean([(p.x, p.y) for p in points if p.role == "target"], axis=0)
        far = {p.index: np.hypot(p.x - near[0], p.y - near[1]) for p in drawn}
        low, high = ([d for i, d in far.items() if (i < 60) is side] for side in (True, False))
        assert low and high and min(low) > max(high)

    def test_a_file_that_names_no_image_gives_no_points(self):
        assert len(read_points("role,index,x,y\nsource,3,1,2")) == 1
        assert read_points("role,x,y\nsource,1,2") == []  # as written before the column index
        assert read_points("role,index,x,y\nsource,3,one,2") == []
        assert read_points("role,index,x,y\nstranger,3,1,2") == []

    def test_curves_take_what_is_finite_and_whole(self):
        lines = [{"done": i, "total": 4, "a": 10.0**-i, "b": float("nan")} for i in range(4)]
        (curve,) = make_curves([*lines, {"total": 4}])
        assert (curve.name, curve.log, curve.last) == ("a", True, 0.001)
        assert curve.points.split()[0] == "0.0,0.0"
        assert curve.points.split()[-1] == "300.0,130.0"

    def test_values_per_cluster_become_rows(self):
        node = {"value": 0.5, "cluster_means": {"0": 0.2, "2": 0.4}, "x": 3}
        found = make_metric("intra_lpips", metric_card("intra_lpips"), node)
        (series,) = found.series
        assert series.rows == (("0", "0.2", 0.5), ("2", "0.4", 1.0))
        assert found.details == (("x", "3"),)
