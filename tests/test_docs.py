"""Every command that the documentation shows: composed, and the quick ones run."""

import csv
import re
import shutil

import pytest
from helpers import ROOT, cli, composed
from shown_commands import shown

from fsig_bench.help import WORDS
from fsig_bench.report.dashboard import spec_of
from fsig_bench.report.figures.write import write_figures
from fsig_bench.report.html.build import write_report
from fsig_bench.report.html.links import run_page
from fsig_bench.report.markdown import report
from fsig_bench.report.records import load
from fsig_bench.report.tables import write_tables
from fsig_bench.trackers.values import metric_rows, metric_values

PLACES = re.compile(r"NAME|COUNT|\.\.\.$")  # words that stand for others


def commands():
    """(page, words after `python -m`); `fsig-bench` is `python -m fsig_bench`."""
    found = []
    for page, (program, *words) in shown():
        if program == "fsig-bench":
            found.append((page, ("fsig_bench", *words)))
        elif program == "python" and words:
            found.append((page, tuple(w for w in words if w != "-m" or len(words) == 1)))
    return sorted(set(found))


COMMANDS = commands()
RUNS = [c for c in COMMANDS if c[1][0] == "fsig_bench" and len(c[1]) > 1 and c[1][1] not in WORDS]
RUNS = [c for c in RUNS if "method=sdedit" not in c[1]]  # test_what_the_pages_add_works runs it


def test_the_pages_show_commands():
    assert len(RUNS) > 12
    shown = {words[1] for _, words in COMMANDS if words[0] == "fsig_bench" and len(words) > 1}
    assert shown >= set(WORDS)


@pytest.mark.parametrize("page, words", COMMANDS, ids=lambda v: " ".join(v) if v[0] else v)
def test_a_shown_module_exists(page, words):
    module = words[0].removesuffix(".py").replace("/", ".")
    path = ROOT / module.replace(".", "/")
    known = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    assert known or module in ("pytest", "pip", "venv", "torch", "build"), f"{page} shows {module}"


@pytest.mark.parametrize("page, words", RUNS, ids=lambda v: " ".join(v) if v[0] else v)
def test_a_shown_run_composes(page, words):
    settings = [w for w in words[1:] if w not in ("-m", "--multirun") and not PLACES.search(w)]
    if any(w.startswith("-") for w in settings) or not settings:
        pytest.skip("shows the program's own help, not a run")
    first = []
    for word in settings:
        assert "=" in word, f"{page}: {word} is no setting"
        key, _, value = word.partition("=")
        whole = value.startswith(("[", "{", "'")) or "(" in value
        first.append(f"{key}={value if whole else value.split(',')[0]}")
    cfg = composed(*first)
    asked = dict(w.lstrip("+").split("=", 1) for w in first)
    if "method" in asked:
        assert cfg.method.card.name == asked["method"]


QUICK = {
    ("fsig_bench", "report", "results/reference"): ["out={out}"],
    ("fsig_bench", "report", "table=crdi_table2"): ["out={out}", "results/reference"],
    ("fsig_bench", "runs"): ["results_dir={out}"],
    ("fsig_bench", "runs", "verify"): ["results_dir={out}"],
    ("fsig_bench", "runs", "prune"): ["results_dir={out}"],
    ("fsig_bench", "runs", "unlock"): ["results_dir={out}"],
    ("fsig_bench", "compare", "crdi", "gan_inversion", "results/reference"): [],
}


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_a_shown_command_runs(words, tmp_path):
    assert any(c[: len(words)] == words for _, c in COMMANDS), "the documentation has changed"
    more = [w.format(out=tmp_path) for w in QUICK[words]]
    if words == ("fsig_bench", "report", "results/reference"):
        more.append("only=tables")  # figures and HTML have tests of their own
    assert words[0] == "fsig_bench"
    assert cli(*words[1:], *more).stdout.strip()


def test_the_list_of_files_of_others_is_that_of_conf():
    from tools.catalogue import page

    text = (ROOT / "docs" / "assets.md").read_text()
    assert text == page(), "python -m tools.catalogue > docs/assets.md"
    for path in (ROOT / "conf" / "asset").glob("*.yaml"):
        assert f"`{path.stem}`" in text
    assert "f58cb9b6ec323ed6" in text and "1JmjKBq_wylJmpCQ2OWNMy211NFJhHHID" in text


FILES = re.compile(r"`(my_[a-z_/.]+)`[^`]*?:\n\n```[a-z]+\n(.*?)```", re.S)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page, words, name",
    [
        ("add_a_method.md", ["method=sdedit"], "fd"),
        (
            "add_a_metric.md",
            ["method=copy", "+metric@protocol.metrics.nearest_other=nearest_other"],
            "nearest_other",
        ),
        (
            "suites.md",
            [
                *("method=copy", "network@suite.perceptual=blocks"),
                "+metric@protocol.metrics.lpips_diversity=lpips_diversity",
            ],
            "lpips_diversity",
        ),
    ],
)
def test_what_the_pages_add_works(page, words, name, tmp_path):
    text = (ROOT / "docs" / page).read_text()
    files = FILES.findall(text)
    assert len(files) == 2
    for path, body in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(body)
    brief = tmp_path / "my_conf" / "protocol" / "brief.yaml"  # two quick metrics, and the page's
    brief.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "tests" / "conf" / "protocol" / "brief.yaml", brief)
    small = ["k=10", "dataset.n_ref=100", "suite.shard_size=4", "num_images=8", "batch_size=4"]
    small += ["figures.tsne_points=12", "controls=[]", f"results_dir={tmp_path / 'results'}"]
    small.append("figures.embedding=pca")
    if page != "add_a_metric.md":  # whose table is of protocol `ours`
        small.append("protocol=brief")
    start = ["--config-dir", str(tmp_path / "my_conf"), "dataset=babies"]
    done = cli(*start, *words, *small, env={"PYTHONPATH": str(tmp_path)})
    (record,) = load([tmp_path / "results" / "runs"])
    assert record["metrics"][name]["value"] >= 0
    if page == "suites.md":
        assert record["metrics"][name]["extractor"] == "colour-blocks"
        assert record["metrics"]["fd"]["extractor"] == "faceworld-reader"
        assert "(colour-blocks)" in done.stdout
    if page == "add_a_metric.md":
        assert places_without(record, name, tmp_path, terminal=done.stdout) == []


def places_without(record, name, folder, *, terminal):
    """The outputs that lack the record's number or heading."""
    node = record["config"]["protocol"]["metrics"][name]
    card, value = node["card"], record["metrics"][name]["value"]
    heading, number = card["heading"], f"{value:.{card['decimals']}f}"
    write_tables([record], folder / "tables", ["main"])
    figures = write_figures([record], results=None, out=folder / "figures")
    index = write_report([record], results=folder / "results", out=folder / "html")
    texts = {
        "terminal": terminal,
        "report": report([record]),
        "Markdown": (folder / "tables" / "main.md").read_text(),
        "LaTeX": (folder / "tables" / "main.tex").read_text(),
        "HTML index": index.read_text(),
        "HTML run": (index.parent / run_page(record)).read_text(),
    }
    missing = [k for k, text in texts.items() if not (heading in text and number in text)]
    lines = csv.DictReader((folder / "tables" / "main.csv").read_text().splitlines())
    if value not in [float(row["value"]) for row in lines if row["harness_metric"] == name]:
        missing.append("CSV")
    if not any(path.name.startswith(f"quality_{name}-") for path in figures):
        missing.append("figures")
    if value not in [v for key, v in metric_values(record).items() if key.endswith(f"/{name}")]:
        missing.append("trackers' summary")
    if [heading, value] not in [row[1:3] for row in metric_rows(record)]:
        missing.append("trackers' table")
    titles = [p.title for s in spec_of([record], []) for p in s.panels]
    if f"{heading} ↑" not in titles:
        missing.append("dashboard")
    return missing
