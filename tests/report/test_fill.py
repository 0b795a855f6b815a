"""From an empty cache to a filled table with one command, files coming from a local server."""

import functools
import http.server
import io
import threading
import time
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from baselines_foreign import SMALL, Tape, adm_forward
from helpers import cli, composed, start
from PIL import Image

from fsig_bench.report.fill.costs import cost_lines, read_costs
from fsig_bench.report.fill.plan import lacking_seeds, runs_of
from fsig_bench.report.fill.work import Filling, agreed
from fsig_bench.report.inference.units import Chance
from fsig_bench.report.tables import build_table, load_spec, table_names
from fsig_bench.report.tables.model import TableCell
from fsig_bench.runner.needs import needs_of

TEN = [f"{n}.png" for n in "00102 00402 01821 02081 04574 04944 06611 07934 09440 10390".split()]
TABLE = """
kind: paper
title: A small table
caption: Of one cell.
source: {statement: test, paper: CRDI, table: Table 2, rerun: tiny}
suite: paper
shots: 10
num_images: 24
seeds: [0]
methods: [AdAM, CRDI] # the harness has no AdAM
experiments: {crdi_official: tiny}
expected: [{method: CRDI, domain: Babies, metric: FID, low: 0, high: 1e-9, why: never}]
look_at: {CRDI: [the reference]}
metrics: {FID: {better: lower, decimals: 2}}
panels: [{columns: [{domain: Babies, metric: FID}]}]
"""
PROTOCOL = """
defaults:
  - /network@features: random_trunk
  - /network@perceptual: random_trunk
  - /metric@metrics.fd: fd
name: tiny
version: 1
reference: held_out
reference_read: dataset
samples: null
checkpoint: fixed
aggregation: none
"""
EXPERIMENT = """
# @package _global_
defaults:
  - crdi_official
  - override /network@suite.extractor: random_trunk
  - override /network@suite.perceptual: random_trunk
suite:
  resolution: 32
  shard_size: 4
  source:
    weights: {{url: "{base}/ffhq.pt", mib: null}}
    flags: {{image_size: 32, num_channels: 32, channel_mult: [1, 2, 2], num_head_channels: 16,
            attention_resolutions: [16, 8]}}
method:
  epochs: 1
  t_end: 8
  segments: 2
  card: {{reconstruct_sweep: null}}
dataset:
  origin:
    shots: {{url: "{base}/gone.zip"}}
    reference: {{url: "{base}/reference.zip"}}
    alternatives:
      - {{role: shots, at: "{base}/ten", what: single files, tried: true, files: true}}
    images: {{shots: 10, reference: [12, 12]}}
figures: {{tsne_points: 12, embedding: pca}}
"""


def png(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((48, 48), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


@contextmanager
def serving(folder):
    """A plain file server; yields its address and the paths that it was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *words):
            pass

    own = functools.partial(Handler, directory=folder)
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), own)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}", asked
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture
def world(tmp_path):
    """Files in the upstream layouts, their server, YAML of one's own, and the command's words."""
    files, own = tmp_path / "files", tmp_path / "own"
    (files / "ten").mkdir(parents=True)
    tape = Tape()
    with torch.no_grad():
        adm_forward(tape, SMALL, torch.zeros(1, 3, 32, 32), torch.zeros(1))
    torch.save(tape.state, files / "ffhq.pt")
    for n, name in enumerate(TEN):
        (files / "ten" / name).write_bytes(png(n))
    with zipfile.ZipFile(files / "reference.zip", "w") as packed:
        for n in range(12):
            packed.writestr(f"babies/{n}.png", png(100 + n))
    with serving(files) as (base, asked):
        texts = {"table": TABLE, "protocol": PROTOCOL, "experiment": EXPERIMENT.format(base=base)}
        for group, text in texts.items():
            (own / group).mkdir(parents=True)
            (own / group / "tiny.yaml").write_text(text)
        words = ["report", "table=tiny", "fill=true", "--config-dir", str(own), "device=cpu"]
        yield [*words, f"results_dir={tmp_path / 'results'}"], asked, files


def cache(tmp_path):
    return {"FSIG_BENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}


def test_one_command_fills_a_table_and_goes_on_after_a_kill(world, tmp_path):
    words, asked, _ = world
    results = tmp_path / "results"
    told = cli(*words, "dry_run=true", env=cache(tmp_path)).stdout
    for text in (
        "to fetch  ffhq.pt (size not known, licence: not stated",
        "sha256 not known here, from http://127.0.0.1",
        "prepare   dataset=babies",
        "CC BY-NC-SA 4.0",
        "or 1 other address",
        "1 files of unknown size, and 1 image sets",
        "run       CRDI on babies, k=10 seed=0, protocol tiny",
        "fsig-bench experiment=tiny suite=paper method=crdi_official dataset=babies protocol=tiny",
        "PFLOP",
        "not measured",
        "weights alone up to 2.1 GiB",
    ):
        assert text in told
    assert not asked and not results.exists() and not (tmp_path / "cache").exists()
    first = start(*words, "accept_licence=true", env=cache(tmp_path))
    deadline = time.monotonic() + 240
    while not (shards := sorted(results.glob("store/sample/*/*.safetensors"))):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    first.kill()
    first.wait()
    before = {path: path.stat().st_mtime_ns for path in shards}
    assert not list(results.glob("runs/**/record.json"))
    assert asked[:2] == ["/ffhq.pt", "/gone.zip"] and len(asked) == 2 + 10 + 1
    done = cli(*words, env=cache(tmp_path)).stdout  # the licences were accepted before
    assert len(asked) == 13  # nothing came twice
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(list(results.glob("runs/**/record.json"))) == 1
    assert "CRDI (`crdi_official`)" in done and "48.52" in done
    assert "is outside 0.00 to 0.00 (never); look at: the reference." in done
    assert (results / "tables" / "tiny.md").exists()
    spec = load_spec("tiny", config_dir=tmp_path / "own")
    own = {"results": results, "out": results, "given": {}, "config_dir": tmp_path / "own"}
    assert Filling(spec=spec, **own).runs() == []


def test_what_cannot_be_fetched_is_named_with_what_to_do(world, tmp_path):
    words, _, files = world
    (files / "reference.zip").unlink()
    (files / "ffhq.pt").unlink()
    done = cli(*words, "accept_licence=true", env=cache(tmp_path), check=False)
    assert done.returncode == 1
    out = " ".join(done.stdout.split())
    assert "cannot fetch ffhq.pt" in out and "put it at" in out and "404" in out
    assert "fsig-bench prepare dataset=babies reference=FOLDER_OR_ZIP_OR_TAR" in out
    assert "1 of 1 runs are not there; the same command tries them again" in out
    assert "48.52" in out  # the table is printed all the same


def test_the_user_is_asked_once_for_the_same_licences(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    needs = needs_of([composed("suite=paper", "method=copy", "dataset=babies")], verify=False)
    with pytest.raises(ValueError, match="say accept_licence=true"):
        agreed(needs, None)
    assert not agreed(needs, "false")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: "y")
    assert agreed(needs, None)
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail("asked twice"))
    assert agreed(needs, None)
    more = needs_of([composed("suite=paper", "method=crdi", "dataset=babies")], verify=False)
    monkeypatch.setattr("builtins.input", lambda text: "n")
    assert not agreed(more, None)  # the source model came on top


def test_a_part_of_a_table_can_be_asked_for():
    spec = load_spec("crdi_table2")
    table = build_table(spec, [])
    everything = runs_of(table, spec, {})
    assert len({run.words for run in everything}) == len(everything) == 3 * 2 * (8 + 8 + 7)
    one = runs_of(table, spec, {"method": ["CRDI"], "dataset": ["babies"], "seed": ["0"]})
    assert [run.protocol for run in one] == ["crdi2024", "ours"]
    assert len({run.samples for run in one}) == 1
    assert one[0].words[0] == "experiment=paper_crdi_10shot"
    with pytest.raises(ValueError, match=r"dataset=cats: table crdi_table2 has babies, metfaces"):
        runs_of(table, spec, {"dataset": ["cats"]})
    chances = Chance(0, 0, 0), Chance(1, 2, 2)  # (subset, seed, draw): other shots are another run
    done = TableCell(value=1.0, seeds=("0", "1/2"), chances=chances)
    assert lacking_seeds(done, (0, 1, 2)) == [1, 2]
    assert lacking_seeds(TableCell(gap="reason"), (0, 1)) == []


PAPER_TABLES = [name for name in table_names() if load_spec(name).suite == "paper"]


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_experiments_are_those_of_the_methods_that_run(name):
    spec = load_spec(name)
    assert set(spec.experiments) <= {run.method for run in runs_of(build_table(spec, []), spec, {})}


def test_costs_are_counted_operations_and_said_to_be(tmp_path):
    spec = load_spec("crdi_table2")
    table = build_table(spec, [])
    runs = runs_of(table, spec, {"method": ["CRDI"], "dataset": ["babies"], "seed": ["0"]})
    (work,) = {read_costs().of(run) for run in runs}
    # 18,000 evaluations to adapt and 20 an image, of one network.
    assert work.adapt / work.image == pytest.approx(18_000 / 20, rel=1e-3)
    lines = cost_lines(runs, spec, tmp_path)  # two protocols share the samples
    total = work.adapt + 5000 * work.image
    assert f"1 sample sets of crdi_official: {total / 1000:,.0f} PFLOP" in lines[0]
    assert "at 35% of the stated peaks: not measured" in " ".join(lines)


def test_words_of_filling_need_fill(capsys):
    from fsig_bench.report.__main__ import main

    for words, text in (
        (["table=crdi_table2", "seed=0"], "seed= belongs to fill=true"),
        (["fill=true"], "needs table=NAME"),
        (["table=crdi_table2", "fill=yes"], "choose true or false"),
    ):
        with pytest.raises(ValueError, match=text):
            main(words)
