"""A protocol decides what a number means: its hash, its reference, who may stand beside whom."""

from dataclasses import replace

import pytest
import torch
from helpers import make_cell

import fsig_bench
from fsig_bench.report.markdown import report
from fsig_bench.report.terminal import terminal_table
from fsig_bench.report.variants import protocol_differences
from fsig_bench.runner.score import build_networks, reference_images


def cell_of(*words):
    return make_cell("method=copy", "dataset=babies", "dataset.n_ref=120", *words)


def test_the_hash_follows_what_a_number_depends_on_and_nothing_else():
    base = cell_of().protocol_hash
    for same in ("batch_size=7", "device=cpu", "workers=2", "seed=3", "k=5"):
        assert cell_of(same).protocol_hash == base, same
    changes = ["num_images=64", "protocol.reference=shots", "protocol.metrics.precision.k=3"]
    changes += ["protocol.metrics.intra_lpips.empty=zero", "suite.extractor.trunk_maps=3"]
    hashes = {base} | {cell_of(c).protocol_hash for c in changes}
    assert len(hashes) == 1 + len(changes)


@pytest.mark.parametrize("rule", ["held_out", "with_shots", "shots"])
def test_the_reference_is_the_one_that_the_protocol_names(rule):
    cell = cell_of(f"protocol.reference={rule}")
    shots = cell.dataset.shots(10, 0)
    held_out = cell.dataset.reference_images(10, 0)
    expected = {"held_out": [held_out], "shots": [shots], "with_shots": [shots, held_out]}[rule]
    assert torch.equal(reference_images(cell, shots), torch.cat(expected))


def test_an_unknown_reference_is_refused():
    with pytest.raises(ValueError, match=r"reference=test.*held_out"):
        cell_of("protocol.reference=test")


@pytest.mark.parametrize(
    ("name", "uses"),
    [
        ("intra_lpips", "only the perceptual network"),
        ("lpips_diversity", "only the perceptual network"),
        ("nearest_shot", "only the perceptual network"),
        ("copy_rate", "only the perceptual network"),
        ("spectrum", "no network"),
    ],
)
def test_a_network_that_its_metric_would_not_use_is_refused(name, uses):
    """It would change the hash and no number."""
    word = f"+network@protocol.networks.{name}=random_trunk"
    with pytest.raises(ValueError, match=rf"networks.{name}: {name} uses {uses}.*~protocol"):
        cell_of(word)
    with pytest.raises(ValueError, match=f"uses {uses}"):
        fsig_bench.score(
            torch.zeros(4, 3, 64, 64, dtype=torch.uint8), suite="mini", overrides=[word]
        )


def test_a_network_of_a_metrics_own_counts_under_another_hash():
    words = [f"+network@protocol.networks.{name}=random_trunk" for name in ("fd", "authpct")]
    hashes = {cell_of(*w).protocol_hash for w in ([], words[:1], words[1:])}
    assert len(hashes) == 3
    with pytest.raises(ValueError, match=r"protocol.metrics.fd._target_: no.Metric cannot be"):
        cell_of(words[0], "protocol.metrics.fd._target_=no.Metric")


def test_one_network_serves_both_roles_where_they_are_the_same():
    features, perceptual = build_networks(cell_of().protocol, "cpu")
    assert features is perceptual
    protocol = cell_of().protocol
    two_maps = {**protocol.perceptual, "trunk_maps": 2}
    apart = build_networks(replace(protocol, perceptual=two_maps), "cpu")
    assert apart[0].trunk_maps == 4 and apart[1].trunk_maps == 2


def record(method, **protocol):
    rules = {"name": "ours", "reference": "held_out"} | protocol
    card = {"label": method, "kind": "method"}
    return {
        "run_id": method + str(protocol),
        "suite": "mini",
        "method": method,
        "dataset": "babies",
        "k": 10,
        "seed": 0,
        "num_images": 500,
        "protocol": rules["name"],
        "protocol_hash": str(sorted(rules.items())),
        "metrics": {"fd": {"value": 1.0, "extractor": "x", "n_real": 9}},
        "config": {"method": {"card": card}, "protocol": rules},
        "timing_s": {"adapt": 1.0, "sample": 1.0},
        "nfe_per_image": 1,
    }


def test_unlike_protocols_share_no_table_and_the_field_is_named():
    ours, theirs = record("a"), record("b", reference="shots")
    assert protocol_differences(ours, theirs) == ["reference (held_out / shots)"]
    with pytest.raises(ValueError, match=r"a and b were not scored alike: reference \(held_out"):
        terminal_table([ours, theirs])
    assert terminal_table([ours, record("b")]).row_count > 0
    text = report([ours, theirs])
    assert text.count("## Suite") == 2
    assert "Not to be compared with ours" in text and "reference (held_out / shots)" in text


def test_a_network_that_was_trained_again_is_named():
    ours, theirs = (record("a", features={"weights": "w"}) for _ in range(2))
    ours["weights"], theirs["weights"] = {"w": "1" * 64}, {"w": "2" * 64}
    assert protocol_differences(ours, theirs) == ["sha256 of w (11111111 / 22222222)"]
