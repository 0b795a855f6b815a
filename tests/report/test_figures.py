"""Figures of a paper: what they draw, that bytes repeat, that a method keeps its look."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image
from report_records import record

from fsig_bench.report.figures import shots
from fsig_bench.report.figures.clusters import cluster_values
from fsig_bench.report.figures.factors import coverage_by_factor
from fsig_bench.report.figures.matrix import EACH, sample_matrix
from fsig_bench.report.figures.pareto import quality_against
from fsig_bench.report.figures.style import (
    GREY,
    PALETTE,
    drawing_order,
    is_control,
    look,
    own_look,
    style,
)
from fsig_bench.report.figures.summaries import metric, over_shots, pairs, pareto_front, wall_s
from fsig_bench.report.figures.write import matrix, most_frequent, write_figures
from fsig_bench.report.records import load, method_cards
from fsig_bench.store.store import Store


@pytest.fixture(scope="module")
def records():
    """Two targets of the reference: one with every method, one with few."""
    found = load([ROOT / "results" / "reference"])
    return [r for r in found if r["dataset"] in ("babies", "metfaces")]


def test_the_front_by_hand():
    # quality (lower) against diversity (higher): 1 and 3 are beaten, 4 equals 2
    points = [(0.2, 10.0), (0.1, 12.0), (0.5, 20.0), (0.4, 30.0), (0.5, 20.0), (0.9, 90.0)]
    assert pareto_front(points, x_higher_is_better=True) == [0, 2, 4, 5]
    # quality against cost, both lower: only what no cheaper one matches
    costs = [(10.0, 50.0), (20.0, 50.0), (30.0, 20.0), (5.0, 90.0), (40.0, 21.0)]
    assert pareto_front(costs, x_higher_is_better=False) == [3, 0, 2]
    assert pareto_front([], x_higher_is_better=True) == []


def test_means_and_deviations_over_runs_that_have_both_values(records):
    own = [r for r in records if (r["method"], r["dataset"]) == ("finetune", "babies")]
    x, y = pairs(own, wall_s, metric("fd"))["babies"]["finetune"]
    fd = [r["metrics"]["fd"]["value"] for r in own]
    assert len(fd) >= 2
    assert (y.mean, y.std) == (pytest.approx(np.mean(fd)), pytest.approx(np.std(fd, ddof=1)))
    seconds = [r["timing_s"]["adapt"] + r["timing_s"]["sample"] for r in own]
    assert x.mean == pytest.approx(np.mean(seconds))
    less = [copy.deepcopy(r) for r in own]
    less[0]["metrics"]["fd"]["value"] = None
    assert pairs(less[:1], wall_s, metric("fd")) == {}


def test_bars_are_over_sets_of_shots():
    values = {(0, 0): 1.0, (0, 1): 3.0, (1, 2): 11.0, (1, 3): 13.0}  # by subset and seed
    runs = [record(subset=subset, seed=seed, fd=fd) for (subset, seed), fd in values.items()]
    distance = pairs(runs, wall_s, metric("fd"))["babies"]["crdi"][1]
    assert (distance.mean, distance.axis, distance.values) == (7.0, "subset", (2.0, 12.0))


LOOKS = {  # committed figures are drawn so
    "crdi": ("#e69f00", "s"),
    "crdi_official": ("#e69f00", "D"),
    "gan_inversion": ("#0072b2", "<"),
    "rs_imle": ("#d55e00", "p"),
    "copy": ("#808080", "x"),
}


def test_methods_here_have_looks_of_their_own():
    cards = method_cards()
    looks = {m: look(m, card) for m, card in cards.items()}
    for name, pair in LOOKS.items():
        assert (looks[name].colour, looks[name].marker) == pair
    methods = {m: v for m, v in looks.items() if not is_control(cards[m])}
    assert all(own_look(card) for card in cards.values()), "a card lacks colour or marker"
    assert len({(v.colour, v.marker) for v in methods.values()}) == len(methods)
    assert {v.colour for v in methods.values()} == set(PALETTE)
    controls = [v for v in looks.values() if v.control]
    assert {v.colour for v in controls} == {GREY} and len({v.marker for v in controls}) == 4
    order = drawing_order(cards)
    assert [is_control(cards[m]) for m in order] == sorted(is_control(c) for c in cards.values())
    for missing in order[:3]:
        rest = drawing_order({m: c for m, c in cards.items() if m != missing})
        assert rest == [m for m in order if m != missing]


def test_a_new_method_recolours_nobody(tmp_path, monkeypatch):
    before = {m: look(m, card) for m, card in method_cards().items()}
    shutil.copytree(ROOT / "conf" / "method", tmp_path / "method")
    for name in ("aaa", "zzz"):
        text = f"defaults: [crdi]\ncard:\n  name: {name}\n  label: {name}\n"
        (tmp_path / "method" / f"{name}.yaml").write_text(text)
    monkeypatch.setattr("fsig_bench.report.records.CONF", tmp_path)
    method_cards.cache_clear()
    try:
        cards = method_cards()
        assert len(cards) == len(before) + 2
        assert {m: look(m, cards[m]) for m in before} == before
    finally:
        method_cards.cache_clear()


def test_a_method_from_outside_has_its_cards_look_or_one_by_its_name():
    one = look("a_method_of_someone_else", {"kind": "method"})
    assert one == look("a_method_of_someone_else", {"kind": "method"}) and one.colour in PALETTE
    own = look("mine", {"kind": "method", "colour": "#123456", "marker": "d"})
    assert (own.colour, own.marker) == ("#123456", "d")
    crdi = method_cards()["crdi"]
    inherited = look("like_crdi", {**crdi, "name": "like_crdi"})
    assert (inherited.colour, inherited.marker) != (crdi["colour"], crdi["marker"])
    assert look("control", {"kind": "control"}).colour == GREY
    with pytest.raises(ValueError, match=r"card.colour='red' of mine: give it as '#rrggbb'"):
        look("mine", {"name": "mine", "colour": "red", "marker": "d"})


def test_colours_in_the_file_stay_when_a_method_is_missing(records, tmp_path):
    own = [r for r in records if r["dataset"] == "babies" and r["seed"] == 0]
    quality_against("intra_lpips", own, tmp_path / "all")
    gone = "crdi"
    quality_against("intra_lpips", [r for r in own if r["method"] != gone], tmp_path / "less")
    texts = {n: (tmp_path / f"{n}.svg").read_text() for n in ("all", "less")}
    kept = {look(r["method"], {}).colour for r in own if r["method"] != gone
            and r["config"]["method"]["card"]["kind"] == "method"}  # fmt: skip
    assert all(c in texts["all"] and c in texts["less"] for c in kept)
    mine = look(gone, {}).colour
    assert mine in texts["all"] and (mine in texts["less"]) == (mine in kept)


def test_the_reference_gives_all_plots_and_the_bytes_repeat(records, tmp_path, capsys):
    names = ["quality_diversity", "quality_cost"]
    names += ["clusters-metfaces", "factors-metfaces"]
    own = [r for r in records if r["dataset"] == "metfaces"]
    stems = [f"{n}-mini-ours-k10.{kind}" for n in names for kind in ("pdf", "svg")]
    made = write_figures(own, results=None, out=tmp_path / "a")
    assert sorted(p.name for p in made) == sorted(stems)
    out = capsys.readouterr().out
    assert "left out: shots: no two records differ in k alone" in out
    assert "left out: samples: no results folder" in out
    write_figures(own[::-1], results=None, out=tmp_path / "b")
    for path in made:
        data = path.read_bytes()
        assert data == (tmp_path / "b" / path.name).read_bytes(), path.name
        assert data.startswith(b"%PDF" if path.suffix == ".pdf" else b"<?xml")
        assert b"Date" not in data
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(stems)


def with_k(records, k):
    """The same runs at another number of shots."""
    changed = []
    for r in records:
        new = copy.deepcopy(r) | {"k": k, "run_id": f"{r['run_id']}-{k}"}
        new["metrics"]["fd"]["value"] *= 10 / k
        changed.append(new)
    return changed


def test_curves_over_shots_need_records_that_differ_in_k_alone(records, tmp_path):
    own = [r for r in records if r["dataset"] == "metfaces"]
    several = [*own, *with_k(own, 5), *with_k(own, 1)]
    assert over_shots(own) == [] and len(over_shots(several)) == 3 * len(own)
    other = [r | {"protocol_hash": "other"} for r in with_k(own, 5)]
    assert over_shots([*own, *other]) == []
    assert {r["k"] for r in most_frequent([*own, *with_k(own[:2], 5)])} == {10}
    names = {p.name for p in write_figures(several, results=None, out=tmp_path)}
    assert {"shots-mini-ours-k1_5_10.pdf", "shots-mini-ours-k1_5_10.svg"} <= names


def bars_of(figure):
    """The lengths of all bars, without those that are not drawn."""
    found = [
        segment[1, 1] - segment[0, 1]
        for axes in figure.axes
        for container in axes.containers
        for lines in container.lines[2]
        for segment in lines.get_segments()
        if len(segment) == 2
    ]
    return [length for length in found if np.isfinite(length)]


def test_a_single_run_has_no_bar_over_shots(records, tmp_path, monkeypatch):
    """A bar without length looks as if the runs agreed."""
    drawn = []
    monkeypatch.setattr(shots, "save", lambda figure, stem: drawn.append(figure) or [])
    own = [r for r in records if r["dataset"] == "metfaces"]
    single = [r for r in own if r["seed"] == 0]
    shots.shots_curves([*single, *with_k(single, 5)], tmp_path / "single")
    shots.shots_curves([*single, *with_k(own, 5)], tmp_path / "several")
    methods = len({r["method"] for r in own})
    alone, several = map(bars_of, drawn)
    assert alone == []
    assert len(several) == 2 * methods  # of two metrics, at one of two numbers of shots


def test_clusters_and_factors_are_the_records_own_numbers(records):
    seeds = [r for r in records if (r["method"], r["dataset"]) == ("source", "metfaces")]
    assert len(cluster_values(seeds)["source"][1]) == 10 * len(seeds) > 10
    own = [r for r in seeds if r["seed"] == 0]  # one of its clusters holds a single sample
    means, sizes, empty = cluster_values(own)["source"]
    held = own[0]["metrics"]["intra_lpips"]
    assert sizes == [n / 5 for n in held["cluster_sizes"]] and sum(sizes) == pytest.approx(100)
    assert empty == held["empty_clusters"] == 1 and len(means) == 9
    assert np.mean(means) == pytest.approx(held["value"], abs=1e-5)
    by = coverage_by_factor(own)["source"]
    assert np.mean(list(by.values())) == pytest.approx(
        own[0]["metrics"]["factor_coverage"]["value"], abs=1e-4
    )


def test_the_matrix_shows_stored_samples_under_the_shots(records, tmp_path):
    own = [r for r in records if r["dataset"] == "babies" and r["seed"] == 0]
    own = [r for r in own if r["method"] in ("copy", "crdi", "finetune")]
    store, colours = Store(tmp_path / "results"), {"copy": 40, "crdi": 90}
    for name, level in colours.items():
        record = next(r for r in own if r["method"] == name)
        images = torch.full((50, 3, 64, 64), level, dtype=torch.uint8)
        store.save_shard(record["stages"]["sample"], 0, images, 0.0)
    (path,), (left,) = matrix(own, tmp_path / "results", tmp_path / "out")
    assert "not stored below" in left and left.endswith(": finetune on babies")
    assert path.name == "samples-mini-ours-k10.png"
    with Image.open(path) as image:
        sheet = np.asarray(image)
    rows = {level: np.flatnonzero((sheet == level).all(2).mean(1) > 0.5) for level in (40, 90)}
    assert rows[90].size and rows[90].max() < rows[40].min()  # methods above controls
    assert (sheet[: rows[90].min()] != 255).any((1, 2)).sum() > 64  # the shots above both
    shutil.rmtree(tmp_path / "results")
    made, (left,) = matrix(own, tmp_path / "results", tmp_path / "none")
    assert made == [] and "no run of these records has samples stored" in left


def test_the_matrix_holds_each_image_once_and_a_dash_where_none_is(tmp_path):
    levels = [30 + 20 * n for n in range(EACH + 2)]
    images = torch.stack([torch.tensor([v, 0, 0]).view(3, 1, 1).expand(3, 16, 16) for v in levels])
    cells = {("shots", "a"): images.to(torch.uint8)}
    sample_matrix(tmp_path / "m.png", cells, ["shots", "x"], ["a", "b"])
    with Image.open(tmp_path / "m.png") as image:
        sheet = np.asarray(image)
    scale = 2000 // (2 * EACH * 19)
    counts = [int((sheet == (v, 0, 0)).all(2).sum()) for v in levels]
    assert counts == [(16 * scale) ** 2] * EACH + [0, 0]
    places = [np.argwhere((sheet == (v, 0, 0)).all(2)).min(0) for v in levels[:EACH]]
    assert len({y for y, _ in places}) == 1 and np.all(np.diff([x for _, x in places]) > 16 * scale)
    grey = np.argwhere((sheet == 0x99).all(2))  # dashes: row x twice, target b of the shots once
    assert len(grey) > 0


def test_no_record_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no record"):
        write_figures([], results=None, out=tmp_path)


def test_the_style_leaves_the_users_settings_alone():
    import matplotlib

    before = json.dumps({k: str(v) for k, v in matplotlib.rcParams.items()})
    with style():
        assert matplotlib.rcParams["svg.hashsalt"] == "fsig_bench"
    assert json.dumps({k: str(v) for k, v in matplotlib.rcParams.items()}) == before


# Machado et al., IEEE TVCG 15(6), 2009, severity 1: linear RGB as a dichromat sees it.
SIMULATED = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "none": np.eye(3),
}


@pytest.mark.parametrize("vision", SIMULATED)
def test_any_two_of_the_sixteen_colours_differ_for_any_vision(vision):
    """CIE 1976 differences of 12 and more: 2.3 is just noticeable."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(SIMULATED[vision]).T, 0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = linear @ np.array(to_xyz).T / [0.95047, 1, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f.T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert len(PALETTE) == 16 and apart[np.triu_indices(16, 1)].min() >= 12
