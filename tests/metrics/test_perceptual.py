"""Intra-LPIPS, copies, factors: hand-made evidence with known answers."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch

from fsig_bench.api.images import to_float
from fsig_bench.faceworld.reader import FactorReader
from fsig_bench.faceworld.render import render
from fsig_bench.metrics.base import Evidence, unmet_need
from fsig_bench.metrics.factors import (
    FactorCoverage,
    RenderedPrecision,
    SourceLeakage,
    overlap,
    unrolled,
)
from fsig_bench.metrics.frechet import Frechet
from fsig_bench.metrics.intra_lpips import IntraLPIPS
from fsig_bench.metrics.lpips import mean_pairwise, paired_distances
from fsig_bench.metrics.memorisation import AuthPct, CopyRate, NearestShot
from fsig_bench.metrics.prdc import PRDC
from fsig_bench.metrics.psnr import psnr
from fsig_bench.networks.base import embed
from fsig_bench.networks.random_trunk import RandomTrunk

TRUNK = RandomTrunk(seed=3, width=8)


def maps(images):
    return TRUNK.trunk(to_float(images))


def pictures(n, seed, low=0, high=256):
    g = torch.Generator().manual_seed(seed)
    blocks = torch.randint(low, high, (n, 3, 4, 4), generator=g, dtype=torch.uint8)
    return blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)


def evidence(fake, shots, real=None, extractor=TRUNK, source="adults", perceptual=TRUNK):
    return Evidence(
        shots=shots,
        fake=fake,
        real=real,
        extractor=extractor,
        perceptual=perceptual,
        seed=0,
        batch_size=16,
        source_domain=source,
    )


def intra(**changes):
    values = {"protocol": "test", "max_assigned": 1000, "cluster_size": 50, "empty": "drop"}
    values |= {"pick": "random", "fake_range": "signed", "compare": "pairs"}
    return IntraLPIPS(**(values | changes))


def lpips_by_hand(a, b):
    """Layer by layer: normalise channels, square the difference, average over places."""
    total = 0.0
    layers = list(zip(maps(a[None]), maps(b[None]), strict=True))
    for f, g in layers:
        f, g = (m / (m.norm(dim=1, keepdim=True) + 1e-10) for m in (f, g))
        total += float((f - g).square().sum(1).mean()) / len(layers)
    return total


def test_gram_form_equals_the_pair_loop():
    x = pictures(6, 0)
    pairs = [lpips_by_hand(a, b) for a, b in itertools.combinations(x, 2)]
    assert mean_pairwise(embed(maps(x))) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
    got = paired_distances(real=embed(maps(x[:1])), fake=embed(maps(x[1:2])))
    assert float(got) == pytest.approx(pairs[0], abs=1e-6)


def test_duplicates_are_at_distance_zero():
    x = pictures(1, 0).repeat(5, 1, 1, 1)
    assert mean_pairwise(embed(maps(x))) == pytest.approx(0, abs=1e-9)


def test_copies_of_one_shot_fill_one_cluster_and_empty_ones_follow_the_rule():
    shots = pictures(4, 1)
    near = shots[2:3].repeat(6, 1, 1, 1).clone()
    for i in range(6):
        near[i, :, i, :] = 255  # small differences within the cluster
    drop, zero = intra()(evidence(near, shots)), intra(empty="zero")(evidence(near, shots))
    assert drop["cluster_sizes"] == [0, 0, 6, 0]
    assert drop["empty_clusters"] == zero["empty_clusters"] == 3
    assert drop["value"] > 0
    assert zero["value"] == pytest.approx(drop["value"] / 4)


def test_replay_of_the_shots_has_no_diversity():
    shots = pictures(3, 1)
    result = intra()(evidence(shots.repeat(4, 1, 1, 1), shots))
    assert result["cluster_sizes"] == [4, 4, 4]
    assert result["value"] == pytest.approx(0, abs=1e-9)


def test_value_is_the_mean_over_clusters_and_b_lpips_follows_its_formula():
    shots = pictures(3, 1)
    result = intra()(evidence(pictures(40, 2), shots))
    means = list(result["cluster_means"].values())
    assert result["value"] == pytest.approx(sum(means) / len(means), abs=1e-5)
    share = [s / 40 + 1e-5 for s in result["cluster_sizes"] if s > 1]
    by_hand = -sum(p * math.log10(p) * m for p, m in zip(share, means, strict=True))
    assert result["b_lpips"] == pytest.approx(by_hand, abs=1e-5)


def test_clusters_are_capped_by_a_seeded_choice():
    shots, fake = pictures(1, 1), pictures(30, 2)
    capped = intra(cluster_size=10)
    assert capped(evidence(fake, shots))["value"] == capped(evidence(fake, shots))["value"]
    assert capped(evidence(fake, shots))["value"] != intra()(evidence(fake, shots))["value"]


def test_the_order_of_samples_changes_nothing():
    shots, fake = pictures(2, 1), pictures(40, 2)
    rule = intra(cluster_size=5, max_assigned=30)
    turned = fake[torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    a, b = rule(evidence(fake, shots)), rule(evidence(turned, shots))
    assert a["cluster_sizes"] == b["cluster_sizes"] and sum(a["cluster_sizes"]) == 30
    assert a["value"] == pytest.approx(b["value"], rel=1e-6)
    first = intra(cluster_size=5, max_assigned=30, pick="first")
    assert first(evidence(fake, shots))["value"] != first(evidence(turned, shots))["value"]


def test_the_first_members_by_hand():
    shots, fake = pictures(1, 1), pictures(9, 2)
    result = intra(pick="first", max_assigned=8, cluster_size=3)(evidence(fake, shots))
    pairs = [lpips_by_hand(a, b) for a, b in itertools.combinations(fake[:3], 2)]
    assert result["cluster_sizes"] == [8]
    assert result["value"] == pytest.approx(sum(pairs) / 3, abs=1e-6)


def unit_maps(image):
    """A uint8 image as the trunk sees it when it arrives in [0, 1]."""
    return TRUNK.trunk(image[None].float() / 255)


def test_samples_in_the_unit_range_by_hand():
    """CRDI: [0, 1] samples against [-1, 1] shots, then pairs of [0, 1] samples; lone ones are 0."""
    shots, fake = pictures(3, 1), pictures(12, 2)
    result = intra(fake_range="unit", empty="zero", pick="first")(evidence(fake, shots))

    def gap(a, b):
        units = [[m / (m.norm(dim=1, keepdim=True) + 1e-10) for m in maps] for maps in (a, b)]
        layers = zip(*units, strict=True)
        return sum(float((f - g).square().sum(1).mean()) for f, g in layers) / 3

    home = [min(range(3), key=lambda c: gap(unit_maps(x), maps(shots[c : c + 1]))) for x in fake]
    total = 0.0
    for c in range(3):
        own = [x for x, h in zip(fake, home, strict=True) if h == c]
        pairs = [gap(unit_maps(a), unit_maps(b)) for a, b in itertools.combinations(own, 2)]
        total += sum(pairs) / len(pairs) if pairs else 0.0
    assert result["cluster_sizes"] == [home.count(c) for c in range(3)]
    assert result["value"] == pytest.approx(total / 3, abs=1e-6)
    assert result["value"] != pytest.approx(intra(empty="zero")(evidence(fake, shots))["value"])


def test_distance_to_the_shot_by_hand():
    shots, fake = pictures(2, 1), pictures(5, 2)
    result = intra(compare="shot", pick="first")(evidence(fake, shots))
    gaps = [[lpips_by_hand(x, s) for s in shots] for x in fake]
    by_shot = [[min(g) for g in gaps if g.index(min(g)) == c] for c in range(2)]
    means = [sum(b) / len(b) for b in by_shot if b]
    assert result["value"] == pytest.approx(sum(means) / len(means), abs=1e-6)


def test_copies_score_one_and_fresh_images_about_the_quantile():
    shots, real, fresh = pictures(5, 1), pictures(400, 2), pictures(400, 3)
    rate = CopyRate(quantile=0.01, wide=1.0)  # of five shots each
    assert rate(evidence(shots.repeat(3, 1, 1, 1), shots, real))["value"] == 1.0
    assert rate(evidence(fresh, shots, real))["value"] == pytest.approx(0.05, abs=0.04)
    near = NearestShot()
    copied, free = (near(evidence(f, shots))["value"] for f in (shots, fresh))
    assert copied == pytest.approx(0, abs=1e-9) and free > 0.01


@dataclass(frozen=True)
class Reader:
    """Reads the mean red and green as factors; the domain is dark or bright."""

    name = "toy"
    digest = "0"
    factor_names = ("red", "green")
    domain_names = ("dark", "bright")

    def features(self, images):
        return images.float().mean((2, 3)) / 255

    def visible(self, factors, domain):
        return torch.ones_like(factors, dtype=torch.bool)

    def redraw(self, factors, domain):
        return torch.zeros(len(factors), 3, 8, 8, dtype=torch.uint8)

    def read(self, features):
        bright = features.mean(1) - 0.5
        return features[:, :2], torch.stack([-bright, bright], 1)


def plain(values):
    return torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)


def test_leakage_is_the_share_read_as_the_source():
    fake = plain([10, 20, 30, 250])
    result = SourceLeakage()(evidence(fake, fake[:1], plain([240, 10]), Reader(), "dark"))
    assert result["value"] == 0.75
    assert result["floor"] == 0.5
    assert result["read_as"] == {"dark": 0.75, "bright": 0.25}


def test_overlap_knows_same_half_and_disjoint():
    x = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    y = torch.rand(4000, generator=torch.Generator().manual_seed(1))
    assert overlap(real=x, fake=y) > 0.95
    assert overlap(real=x, fake=y / 2) == pytest.approx(0.5, abs=0.03)
    assert overlap(real=x, fake=y + 2) == 0.0


def test_factor_coverage_looks_at_free_factors_only():
    wide = plain(list(range(0, 256, 4)))
    fixed = wide.clone()
    fixed[:, 1] = 128
    metric = FactorCoverage(min_sd=0.05)
    result = metric(evidence(fixed, fixed[:1], fixed, Reader()))
    assert set(result["by_factor"]) == {"red"}
    assert result["value"] == pytest.approx(1.0)
    narrow = metric(evidence(plain([128] * 64), fixed[:1], wide, Reader()))
    assert narrow["value"] < 0.2


def test_factor_coverage_counts_only_what_the_target_shows():
    class Half(Reader):
        def visible(self, factors, domain):
            mask = torch.ones_like(factors, dtype=torch.bool)
            mask[:, 1:] = False
            mask[:, 0] = factors[:, 0] > 0.5
            return mask

    wide, high = plain(list(range(0, 256, 4))), plain(list(range(128, 256, 2)))
    metric = FactorCoverage(min_sd=0.05)
    free = metric(evidence(wide, wide[:1], wide, Half()))
    assert list(free["by_factor"]) == ["red"]
    # Only bright values can be seen, so that samples without dark ones lack nothing.
    assert metric(evidence(high, wide[:1], wide, Half()))["value"] > 0.9
    assert metric(evidence(high, wide[:1], wide, Reader()))["value"] < 0.6
    assert metric(evidence(plain([0] * 9), wide[:1], wide, Half()))["value"] == 0


def test_hues_around_zero_are_one_narrow_cluster():
    x = (torch.randn(500, generator=torch.Generator().manual_seed(0)) * 0.03) % 1
    assert x.std() > 0.4
    real, fake = unrolled(real=x, fake=x)
    assert real.std() < 0.05 and real.mean() == pytest.approx(0.5, abs=0.01)
    assert overlap(real=real, fake=fake) == pytest.approx(1)
    assert overlap(real=real, fake=(fake + 0.5) % 1) == 0


def test_what_is_missing_is_said():
    shots = pictures(2, 0)
    assert "reference" in unmet_need(Frechet(blocks=5), evidence(shots, shots))
    assert unmet_need(intra(), evidence(shots, shots)) is None
    assert unmet_need(AuthPct(), evidence(shots, shots)) is None
    assert "two shots" in unmet_need(AuthPct(), evidence(shots, shots[:1]))
    few = PRDC(which="recall", k=3)
    assert "at least 4" in unmet_need(few, evidence(pictures(3, 1), shots, pictures(9, 2)))
    assert "has 3" in unmet_need(few, evidence(pictures(9, 1), shots, pictures(3, 2)))
    assert unmet_need(few, evidence(pictures(4, 1), shots, pictures(4, 2))) is None
    assert "factor" in unmet_need(SourceLeakage(), evidence(shots, shots, shots))
    assert unmet_need(SourceLeakage(), evidence(shots, shots, shots, Reader(), "dark")) is None
    assert "known factors" in unmet_need(
        SourceLeakage(), evidence(shots, shots, None, Reader(), None)
    )


def test_batch_size_changes_nothing():
    shots, fake = pictures(3, 1), pictures(33, 2)
    one, many = evidence(fake, shots), evidence(fake, shots)
    many.batch_size = 7
    torch.testing.assert_close(one.features("fake"), many.features("fake"), rtol=1e-6, atol=1e-6)
    assert intra()(one)["value"] == pytest.approx(intra()(many)["value"], rel=1e-6)


def test_psnr_by_hand():
    black, white = torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.full((1, 3, 4, 4), 255).byte()
    assert float(psnr(real=black, fake=white)) == pytest.approx(0)
    assert float(psnr(real=black, fake=black)) == float("inf")
    off = black.clone()
    off[0, 0, 0, 0] = 48
    assert float(psnr(real=black, fake=off)) == pytest.approx(10 * math.log10(255**2 / 48))


def test_rendered_precision_knows_the_target_from_the_source_and_from_noise():
    reader = FactorReader(weights="baselines/weights/mini/reader.safetensors", trunk_maps=4)
    real, shots = (
        render("babies", split, range(n))[0] for split, n in (("reference", 120), ("shots", 5))
    )
    fresh = render("babies", "fresh", range(60))[0]
    noise = torch.randn(fresh.shape, generator=torch.Generator().manual_seed(0)) * 25
    cases = {
        "fresh": fresh,
        "source": render("adults", "fresh", range(60))[0],
        "noisy": (fresh.float() + noise).clamp(0, 255).byte(),
    }
    value = {}
    for name, fake in cases.items():
        e = evidence(fake, shots, real, reader, perceptual=reader)
        value[name] = RenderedPrecision(quantile=0.95)(e)
    assert value["fresh"]["value"] > 0.8
    assert value["source"]["value"] < 0.15 and value["source"]["drawable"] > 0.7
    assert value["noisy"]["value"] < 0.05 and value["noisy"]["read_as_target"] > 0.9
