"""Flips of protocols: by hand, there and back, and on the samples of finished runs."""

import pytest
from helpers import BRIEF, cli

from fsig_bench.__main__ import main
from fsig_bench.report.audit import flips


def value(protocol, method, number, *, seed=0, dataset="babies", metric="fd"):
    return flips.Value(
        protocol=protocol,
        metric=metric,
        dataset=dataset,
        method=method,
        subset=0,
        seed=seed,
        draw=seed,
        samples=500,
        value=number,
    )


def planted():
    """Two orders of three flip on babies, none on cats; copy beats crdi by the shots alone."""
    numbers = {
        "ours": {"copy": (30.0, 30.2, 30.1), "crdi": (20.0, 20.1, 20.3), "source": (25.0,) * 3},
        "rsimle2024": {"copy": (0.0, 0.1, 0.0), "crdi": (20.0, 20.2, 20.1), "source": (25.0,) * 3},
    }
    found = []
    for protocol, methods in numbers.items():
        for method, runs in methods.items():
            found += [value(protocol, method, v, seed=n) for n, v in enumerate(runs)]
            cats = {"copy": 3.0, "crdi": 2.0, "source": 1.0}[method]
            found.append(value(protocol, method, cats, dataset="cats"))
    return found


def test_flips_by_hand():
    (c,) = flips.comparisons(planted())
    assert c.metric == "fd" and c.protocols == ("ours", "rsimle2024") and len(c.orders) == 6
    flipped = {(o.dataset, o.first, o.second) for o in c.orders if o.flips}
    assert flipped == {("babies", "copy", "crdi"), ("babies", "copy", "source")}
    assert c.share.mean == pytest.approx((2 / 3 + 0) / 2) and c.share.count == 2
    assert all(o.beyond_chance for o in c.orders if o.dataset == "babies")
    # One run tells nothing from chance.
    assert not any(o.beyond_chance for o in c.orders if o.dataset == "cats")
    assert flips.often_flipped([c]) == [("copy", "crdi", 1, 2), ("copy", "source", 1, 2)]
    text = flips.markdown(planted())
    assert "| Frechet distance | ours and rsimle2024 | 6 | 33 % (0 to 100) | 2 |" in text
    assert "copy and crdi (1 of 2)" in text


def test_metrics_without_a_direction_or_a_partner_are_left_out():
    strange = [value("ours", m, 1.0, metric="my_own") for m in ("a", "b")]
    strange += [value("cdc2021", m, 1.0, metric="my_own") for m in ("a", "b")]
    lonely = [value("cdc2021", m, 1.0, metric="recall") for m in ("a", "b")]
    assert flips.comparisons(strange + lonely) == []


def test_the_csv_gives_the_values_back():
    assert flips.from_csv(flips.to_csv(planted())) == planted()


def test_finished_runs_are_scored_again_once(tmp_path, capsys, monkeypatch):
    small = ["dataset=babies", "k=5", "dataset.n_ref=100", "num_images=12", "controls=[]"]
    for method in ("copy", "real"):
        cli(*BRIEF, f"method={method}", *small, f"results_dir={tmp_path}")
    words = ["audit", "flips", f"results_dir={tmp_path}", "protocols=[cdc2021,rsimle2024]"]
    words += [f"out={tmp_path / 'out'}", "k=5"]
    assert main(words) == 0
    capsys.readouterr()
    rows = flips.from_csv((tmp_path / "out" / "flips.csv").read_text())
    fd = {(r.protocol, r.method): r.value for r in rows if r.metric == "fd"}
    assert len(fd) == 4 and {r.samples for r in rows} == {12}
    # Against the shots themselves copies are better than real images.
    assert fd["rsimle2024", "copy"] < fd["rsimle2024", "real"]
    monkeypatch.setattr("fsig_bench.report.audit.sets.score", None)  # nothing is scored again
    assert main(words) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["protocols=[ours]"], "a flip needs two protocols"),
        (["k=ten"], "k=ten: give a whole number from 1"),
        (["datasets=cats"], "Did you mean dataset?"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(words, message, capsys, tmp_path):
    assert main(["audit", "flips", f"results_dir={tmp_path}", *words]) == 1
    assert message in capsys.readouterr().err
