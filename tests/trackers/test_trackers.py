"""Trackers: what they are told, where it lands, and that they never stop or change a run."""

import builtins
import json
import statistics
import struct
import time
from types import SimpleNamespace

import pytest
import yaml
from helpers import ROOT, cli, composed, make_cell

from fsig_bench.metrics.cards import metric_card
from fsig_bench.report import dashboard
from fsig_bench.runner.run import run
from fsig_bench.store.curve import append_point
from fsig_bench.store.store import Store
from fsig_bench.trackers import base
from fsig_bench.trackers.values import METRIC_COLUMNS, metric_prefix, metric_rows, metric_values

TOY = ["dataset=babies", "k=2", "dataset.n_ref=100", "suite.shard_size=8", "num_images=8"]
TOY += ["batch_size=8", "figures.tsne_points=8", "controls=[]"]
CURVE = [{"done": d, "total": 4, "loss": 1.0 / d} for d in (1, 2, 3, 4)]


def needs(library):
    return pytest.importorskip(library, reason=f"{library} is not installed")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No memory of earlier failures, and no setting of the machine's own wandb."""
    monkeypatch.setattr(base.SafeTracker, "unusable", set())
    monkeypatch.setattr(base.SafeTracker, "printed", set())
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(ROOT / "no_such_netrc"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A results folder where the features of the reference images are made once."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def reporting(monkeypatch):
    """`copy` that reports a curve, as methods that train do."""
    from baselines.copy import Copy

    plain = Copy.adapt

    def adapt(self, shots, *, seed, progress):
        for point in CURVE:
            progress.report(point["done"], point["total"], loss=point["loss"])
        return plain(self, shots, seed=seed, progress=progress)

    monkeypatch.setattr(Copy, "adapt", adapt)


def toy(home, *words):
    return make_cell(*TOY, "method=copy", f"results_dir={home}", *words)


def offline_records(path):
    """The messages of a *.wandb file: LevelDB's log format after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = path.read_bytes(), 7, []
    assert data[:4] == b":W&B"
    while at < len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        parts.append(data[at + 7 : at + 7 + size])
        at += 7 + size
        if kind in (1, 4):  # the whole message, or its last part
            yield wandb_internal_pb2.Record.FromString(b"".join(parts))
            parts = []


def merged(items):
    """Items with one key or a path of keys as a mapping."""
    found = {}
    for item in items:
        *path, last = item.nested_key or [item.key]
        at = found
        for key in path:
            at = at.setdefault(key, {})
        at[last] = json.loads(item.value_json)
    return found


def offline_run(folder):
    """A tracked run, read back: run message, settings, curve points, summary."""
    deadline = time.time() + 30  # wandb's own process writes the end of the file a little later
    messages = []
    while not any(m.HasField("exit") for m in messages):
        assert time.time() < deadline, f"{folder} has no end"
        messages = list(offline_records(next(folder.glob("*.wandb"))))
        time.sleep(0.02)
    who = next(m.run for m in messages if m.HasField("run"))
    settings = {u.key: json.loads(u.value_json) for u in who.config.update}
    for m in messages:
        settings |= {u.key: json.loads(u.value_json) for u in m.config.update if u.key}
    history = [merged(m.history.item) for m in messages if m.HasField("history")]
    summary = merged(u for m in messages for u in m.summary.update)
    return SimpleNamespace(who=who, settings=settings, history=history, summary=summary)


def test_wandb_holds_identity_settings_curve_numbers_and_pictures(home, reporting):
    needs("wandb")
    cell = toy(home, "tracker=wandb", "tracker.group=g1", "seed=1")
    record, _ = run(cell, Store(home))
    (folder,) = (home / "trackers" / "wandb").glob(f"offline-run-*-{cell.run_id}")
    found = offline_run(folder)
    assert found.who.run_id == cell.run_id == record["run_id"]
    assert found.who.run_group == "g1" and found.who.job_type == "control"
    assert sorted(found.who.tags) == sorted(["mini", "copy", "babies", "k2", "ours"])
    kept = {k: v for k, v in found.settings.items() if k in record["config"]}
    assert kept == json.loads(json.dumps(record["config"]))
    assert found.settings["protocol_hash"] == record["protocol_hash"]
    points = [h for h in found.history if "adapt/done" in h]
    assert [(p["adapt/done"], p["adapt/loss"]) for p in points] == [
        (p["done"], pytest.approx(p["loss"])) for p in CURVE
    ]
    for name, value in metric_values(record).items():
        assert found.summary[name] == pytest.approx(value), name
    assert found.summary[f"ours_{record['protocol_hash']}/fd"] > 0
    assert found.summary["cost/total_s"] == pytest.approx(sum(record["timing_s"].values()))
    last = found.history[-1]
    for name in ("samples", "nearest", "tsne"):
        image = last[f"pictures/{name}"]
        assert image["_type"] == "image-file"
        size = (home / cell.folder / f"{name}.png").stat().st_size
        assert image["size"] == size == (folder / "files" / image["path"]).stat().st_size
    assert last["metrics"]["nrows"] == len(record["metrics"])
    # A finished cell is sent again only if that is asked for.
    count = len(list((home / "trackers" / "wandb").glob("offline-run-*")))
    run(cell, Store(home))
    assert len(list((home / "trackers" / "wandb").glob("offline-run-*"))) == count
    run(
        toy(home, "tracker=wandb", "tracker.resend=true", "seed=1", f"tracker.dir={home / 'b'}"),
        Store(home),
    )
    (again,) = (home / "b" / "wandb").glob(f"offline-run-*-{cell.run_id}")
    resent = offline_run(again)
    assert [h["adapt/done"] for h in resent.history if "adapt/done" in h] == [1, 2, 3, 4]
    assert resent.summary["pixels_sha256"] == record["pixels_sha256"]


def test_a_sweep_makes_a_run_for_each_cell(tmp_path):
    needs("wandb")
    words = ["-m", *TOY, "method=copy,real", "tracker=wandb", f"results_dir={tmp_path}"]
    assert "the run goes on without it" not in cli(*words).stdout
    folders = sorted((tmp_path / "trackers" / "wandb").glob("offline-run-*"))
    found = [offline_run(f) for f in folders]
    assert len(found) == 2 == len({f.who.run_id for f in found})
    assert {f.settings["method"]["card"]["name"] for f in found} == {"copy", "real"}
    assert {f.who.run_group for f in found} == {"multirun"}


@pytest.mark.parametrize("missing", ["wandb", "tensorboard"])
def test_a_missing_library_is_named_once_and_stops_nothing(home, monkeypatch, capsys, missing):
    real = builtins.__import__

    def without(name, *args, **kw):
        if name.split(".")[0] == missing or name == "torch.utils.tensorboard":
            raise ImportError(f"no module named {name}")
        return real(name, *args, **kw)

    def no_module(name):
        raise ImportError(f"no module named {name}")

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("fsig_bench.trackers.wandb.import_module", no_module)
    out = ""
    for seed in ("2", "3"):
        cell = toy(
            home, f"tracker={missing}", f"seed={seed}", f"k={3 if missing == 'wandb' else 4}"
        )
        record, there = run(cell, Store(home))
        assert not there and record["metrics"]["fd"]["value"] is not None
        out += capsys.readouterr().out
    assert out.count(f"{missing} is not installed (pip install 'fsig-bench[{missing}]')") == 1


def test_without_a_login_the_run_goes_on(home, monkeypatch, tmp_path, capsys):
    needs("wandb")
    monkeypatch.setenv("HOME", str(tmp_path))
    cell = toy(home, "tracker=wandb", "tracker.mode=online", "seed=4")
    assert run(cell, Store(home))[0]["run_id"] == cell.run_id
    assert "nobody is logged in to wandb" in capsys.readouterr().out
    assert not list((home / "trackers").rglob(f"*{cell.run_id}*"))


class Broken(base.NoTracker):
    def __init__(self, at):
        self.at, self.calls = at, []

    def __getattribute__(self, name):
        if name in ("start", "curve", "finish", "fail"):
            self.calls.append(name)
            if name == self.at:
                raise RuntimeError(f"cannot {name}\nat all")
        return super().__getattribute__(name)


@pytest.mark.parametrize("at", ["start", "curve", "finish"])
def test_an_error_in_a_tracker_is_one_line(home, reporting, monkeypatch, capsys, at):
    tracker = Broken(at)
    monkeypatch.setattr("fsig_bench.trackers.base.NoTracker", lambda **more: tracker)
    cell = toy(home, "tracker=none", f"subset={5 + ['start', 'curve', 'finish'].index(at)}")
    record, _ = run(cell, Store(home))
    assert Store(home).record(cell.folder) == record
    out = capsys.readouterr().out
    assert out.count(f"tracker=none: cannot {at} at all; the run goes on without it") == 1
    assert tracker.calls[-1] == at and tracker.calls.count(at) == 1


def test_a_run_that_stops_tells_its_tracker_and_the_error_goes_on(home, monkeypatch):
    tracker = Broken("nothing")
    monkeypatch.setattr("fsig_bench.trackers.base.NoTracker", lambda **more: tracker)
    monkeypatch.setattr("fsig_bench.runner.run._run", lambda *a, **more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(toy(home, "seed=20"), Store(home))
    assert tracker.calls == ["start", "fail"]


def test_the_tracker_is_in_no_key():
    words = {
        (name, shown): make_cell(
            *TOY, "method=crdi", f"tracker={name}", f"tracker.pictures={shown}"
        )
        for name in ("none", "wandb", "tensorboard")
        for shown in ("true", "false")
    }
    one = words["none", "false"]
    for other in words.values():
        assert (other.run_id, other.adapt_key) == (one.run_id, one.adapt_key)
        assert other.sample_key == one.sample_key and other.protocol_hash == one.protocol_hash


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_no_picture_is_sent_where_that_is_said(name, home, reporting, tmp_path):
    needs(name)
    seed = f"seed={7 if name == 'wandb' else 8}"
    where = f"tracker.dir={tmp_path}"
    cell = toy(home, f"tracker={name}", "tracker.pictures=false", where, seed)
    record, _ = run(cell, Store(home))
    assert len(record["pictures"]) >= 3  # they are on disk as ever
    if name == "wandb":
        (folder,) = (tmp_path / "wandb").glob("offline-run-*")
        found = offline_run(folder)
        assert not [key for point in found.history for key in point if "pictures" in key]
        assert found.summary["pixels_sha256"] == record["pixels_sha256"]
        assert found.history[-1]["metrics"]["nrows"] == len(record["metrics"])
    else:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / cell.folder.removeprefix("runs/")))
        events.Reload()
        assert events.Tags()["images"] == [] and "cost/total_s" in events.Tags()["scalars"]
    sent = [p for p in tmp_path.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".webp")]
    assert not sent
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"IHDR" in p.read_bytes()]


def test_earlier_points_are_replayed_once_and_in_order(tmp_path):
    path = tmp_path / "curve.jsonl"
    assert base.past_points(path) == []
    lines = [{"done": 1, "v": 1}, {"done": 2, "v": 2}, {"done": 3, "v": 3}, {"done": 2, "v": 9}]
    for line in lines:
        append_point(path, line)
    with path.open("a") as file:
        file.write('{"done": 4, "v')
    assert [(p["done"], p["v"]) for p in base.past_points(path)] == [(1, 1), (2, 9), (3, 3)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_events_hold_curve_numbers_and_pictures(home, reporting):
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    cell = toy(home, "tracker=tensorboard", "seed=5")
    record, _ = run(cell, Store(home))
    run(toy(home, "tracker=tensorboard", "tracker.resend=true", "seed=5"), Store(home))
    folder = home / "trackers" / "tensorboard" / cell.folder.removeprefix("runs/")
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    points = [(e.step, e.value) for e in events.Scalars("adapt/loss")]
    assert points == [(p["done"], pytest.approx(p["loss"], rel=1e-5)) for p in CURVE]
    for name, value in metric_values(record).items():
        assert [e.value for e in events.Scalars(name)] == [pytest.approx(value)], name
    for name in ("samples", "nearest", "tsne"):
        (image,) = events.Images(f"pictures/{name}")
        assert image.width > 100 and image.encoded_image_string.startswith(b"\x89PNG")
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_rows_and_names_by_hand():
    record = {
        "protocol": "ours",
        "protocol_hash": "ab12",
        "metrics": {
            "zeta": {"value": None, "reason": "too few"},
            "fd": {"value": 2.5, "extractor": "toy", "n_real": 7, "n_fake": 5,
                   "error": {"standard_error": 0.5}},
        },
    }  # fmt: skip
    assert metric_values(record) == {"ours_ab12/fd": 2.5, "ours_ab12/fd_standard_error": 0.5}
    rows = [dict(zip(METRIC_COLUMNS, r, strict=True)) for r in metric_rows(record)]
    assert [r["metric"] for r in rows] == ["fd", "zeta"] and rows[1]["value"] is None
    assert rows[0]["standard_error"] == 0.5 and rows[0]["heading"] == "Frechet distance"


def shown_as(*names):
    return {name: metric_card(name) for name in names}


def test_the_dashboard_shows_what_the_records_hold():
    spec = dashboard.sections(
        "ours", "ab12", shown_as("fd", "intra_lpips", "copy_rate"), ["loss", "kl"]
    )
    by_title = {s.title: s.panels for s in spec}
    quality = by_title["Quality, diversity and cost"]
    assert (quality[0].x, quality[0].y) == ("ours_ab12/intra_lpips", ("ours_ab12/fd",))
    assert quality[1].x == "cost/total_s" and quality[1].log_x
    bars = by_title["Metrics by method: ours (ab12)"]
    assert [b.y[0] for b in bars] == [f"ours_ab12/{m}" for m in ("fd", "intra_lpips", "copy_rate")]
    assert all(b.kind == "bar" and b.group == dashboard.METHOD for b in bars)
    lines = by_title["Adaptation"]
    assert [(p.x, p.y) for p in lines] == [
        ("adapt/done", ("adapt/kl",)), ("adapt/done", ("adapt/loss",))
    ]  # fmt: skip
    assert by_title["Samples"][0].y == ("pictures/samples",)
    assert len(by_title["Cost by method"]) == 4
    bare = dashboard.sections("ours", "ab12", shown_as("copy_rate"), [])
    assert "Adaptation" not in {s.title for s in bare}


def test_every_name_on_the_dashboard_is_one_that_trackers_send():
    from fsig_bench.report.records import load
    from fsig_bench.trackers.values import cost_values

    records = load([ROOT / "results" / "reference"])
    spec = dashboard.spec_of(records, ["loss"])
    version = statistics.mode(r["protocol_hash"] for r in records)
    sent = {k for r in records for k in (*metric_values(r), *cost_values(r))}
    names = {n for s in spec for p in s.panels for n in (*p.y, p.x) if n}
    asked = {n for n in names if n.startswith(("ours", "cost/"))}
    assert asked <= sent and f"{metric_prefix('ours', version)}/fd" in asked


class Library(SimpleNamespace):
    """Stands for wandb_workspaces: every class keeps its name and what it was given."""

    def __getattr__(self, name):
        return lambda *a, **kw: SimpleNamespace(cls=name, args=a, **kw)


def test_the_workspace_is_built_from_the_spec(monkeypatch):
    monkeypatch.setattr(dashboard, "import_module", lambda name: Library())
    spec = dashboard.sections("ours", "ab12", shown_as("fd", "intra_lpips"), ["loss"])
    built = dashboard.build("e", "p", "n", spec, {"ab": "#0072b2"})
    assert built.runset_settings.run_settings["ab"].color == "#0072b2"
    kinds = [[p.cls for p in s.panels] for s in built.sections]
    assert kinds[0] == ["ScatterPlot", "ScatterPlot"] and set(kinds[1]) == {"BarPlot"}
    assert kinds[2] == ["LinePlot"] and set(kinds[3]) == {"MediaBrowser"}
    scatter = built.sections[0].panels[0]
    assert scatter.x.cls == "SummaryMetric" and scatter.x.args == ("ours_ab12/intra_lpips",)
    by = built.sections[1].panels[0].groupby
    assert by.cls == "Config" and by.args == ("method.card.label",)


def test_without_the_workspace_library_the_extra_is_named(monkeypatch):
    def no_module(name):
        raise ImportError(name)

    monkeypatch.setattr(dashboard, "import_module", no_module)
    with pytest.raises(ValueError, match=r"fsig-bench\[dashboard\]"):
        dashboard.build("e", "p", "n", ())


def test_every_setting_of_the_wandb_sweep_composes():
    sweep = yaml.safe_load((ROOT / "docs" / "wandb_sweep.yaml").read_text())
    command = sweep["command"]
    assert command[1:4] == ["python", "-m", "fsig_bench"] and command[-1] == "${args_no_hyphens}"
    fixed = command[4:-1]
    choices = {k: v["values"] for k, v in sweep["parameters"].items()}
    for n in range(max(map(len, choices.values()))):  # every value once
        picked = {k: v[n % len(v)] for k, v in choices.items()}
        config = composed(*fixed, *(f"{k}={v}" for k, v in picked.items()))
        assert config.tracker.mode == "online" and not config.controls
        found = {"method": config.method.card.name, "dataset": config.dataset.name}
        assert found | {"seed": config.seed} == picked
