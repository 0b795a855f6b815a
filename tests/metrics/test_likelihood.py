"""Feature likelihood divergence: the optimum of one Gaussian, a mixture by SciPy, orientation."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from test_perceptual import evidence, pictures

from fsig_bench.metrics.base import unmet_need
from fsig_bench.metrics.likelihood import (
    BOUND,
    HeldOut,
    Likelihood,
    fitted_log_variances,
    likelier,
    negative_log_likelihood,
)


def normal(n, d=6, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_likelihood_is_that_of_scipys_normal_distributions():
    rows, centres, width = (
        normal(7),
        normal(4, seed=1),
        torch.tensor([0.3, -1.0, 0.0, 2.0]).double(),
    )
    each = [
        stats.multivariate_normal(c, math.exp(v) * np.eye(6)).logpdf(rows.numpy())
        for c, v in zip(centres.numpy(), width, strict=True)
    ]
    expected = -(special.logsumexp(each, axis=0) - math.log(4)) / 6
    found = negative_log_likelihood(rows, centres, width)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_one_far_gaussian_takes_the_variance_that_is_likeliest():
    """Two far shots at one distance r on each side of a sample: the optimum is r^2 / d."""
    d, r = 2, 3.0
    train = torch.tensor([[r, 0.0], [-r, 0.0]])
    # The wide Gaussian in the middle takes part; a sample there shares the shots with it.
    found = fitted_log_variances(train, torch.zeros(1, d))
    assert float(found.exp()) == pytest.approx(r**2 / d, rel=0.15)


def test_a_copied_shot_loses_its_width_and_others_do_not():
    train = normal(10)
    centres = torch.cat([train[:1], normal(50, seed=1)])
    width = fitted_log_variances(train, centres)
    assert width[0] < -10 < -3 < width[1:].min()


def held(k=10, m=800):
    return HeldOut.of(train=normal(k, seed=5), real=normal(m))


def divergence(h, fake):
    fake = fake[: len(h.fresh)]
    own, fresh = (h.likelihoods(x) for x in (h.standardised(fake), h.fresh[: len(fake)]))
    return float(own[1].mean() - fresh[1].mean()), float(own[0].mean() - own[1].mean())


def test_fresh_images_score_about_zero_faults_more_and_contraction_less():
    h, fresh = held(), normal(400, seed=1)
    level, gap = divergence(h, fresh)
    assert abs(level) < 6 and abs(gap) < 40
    faults = {
        "shift": fresh + 1,
        "ten kinds": fresh[:10].repeat(40, 1) + 0.01 * fresh,
        "too wide": fresh * 3,
        "copies": normal(10, seed=5).repeat(40, 1) + 0.01 * fresh,
    }
    values = {name: divergence(h, fake) for name, fake in faults.items()}
    assert all(value > level + 8 for value, _ in values.values()), values
    assert values["copies"][1] < -100 < min(gap, values["shift"][1])
    assert divergence(h, fresh * 0.5)[0] < level  # as the docstring says


def test_the_gap_sees_few_copies_and_the_divergence_does_not():
    h, fresh = held(), normal(400, seed=1)
    few = torch.cat([fresh[:360], normal(10, seed=5).repeat(4, 1)])
    (before, gap), (after, caught) = divergence(h, fresh), divergence(h, few)
    assert abs(after - before) < 5 and caught < gap - 100


def test_the_metrics_share_a_computation_and_warn():
    shots, real = pictures(6, 0), pictures(90, 2)
    e = evidence(pictures(60, 1), shots, real)
    fld, gap = (Likelihood(which=w, most=10_000, blocks=4)(e) for w in ("fld", "gap"))
    assert fld["gaussians"] == gap["gaussians"] == 45  # half of the reference
    assert fld["error"]["blocks"] == 4 and fld["shots"] == 6
    assert abs(gap["value"] - gap["fresh_gap"]) < 2 * gap["over_shots"]["standard_error"]
    assert "cannot be told from that of fresh real images" in gap["warning"]
    copies = evidence(shots.repeat(10, 1, 1, 1), shots, real)
    assert Likelihood(which="fld", most=10_000, blocks=4)(copies)["value"] == BOUND
    result = Likelihood(which="gap", most=10_000, blocks=4)(copies)
    assert result["value"] == -BOUND and result["warning"] is None


@pytest.mark.parametrize("repeated", [1, 2, 3])
@pytest.mark.parametrize("grain", [0, 1])
def test_few_repeated_shots_of_ten_are_named_and_not_waved_through(repeated, grain):
    """They raise the gap's mean and its standard error alike."""
    shots, real, fake = pictures(10, 0), pictures(300, 2), pictures(100, 1)
    fake[: 5 * repeated] = shots[:repeated].repeat(5, 1, 1, 1) ^ grain
    found = Likelihood(which="gap", most=10_000, blocks=4)(evidence(fake, shots, real))
    error = found["over_shots"]["standard_error"]
    assert abs(found["value"] - found["fresh_gap"]) < 2 * error  # which says nothing
    assert found["over_shots"]["repeated"] == repeated
    assert "no sign of memorising" not in found["warning"]
    assert f"make {repeated} of 10 shots far likelier" in found["warning"]


def test_an_exact_copy_moves_the_gap_by_its_share_of_the_shots_and_more_copies_no_further():
    h, fresh = held(), normal(400, seed=1)
    gaps = []
    for shots, copies in ((0, 0), (1, 1), (1, 20), (5, 1), (10, 1)):
        fake = fresh.clone()
        fake[: shots * copies] = normal(10, seed=5)[:shots].repeat(copies, 1) if copies else 0
        gaps.append(divergence(h, fake)[1] - (gaps[0] if gaps else 0))
    _, one, many, five, all_ten = gaps
    assert -210 < one < -150 and abs(many - one) < 25
    assert five == pytest.approx(5 * one, rel=0.15) and all_ten < -BOUND


def test_shots_stand_out_against_the_spread_of_held_out_images():
    usual, none = normal(1000, 1)[:, 0], torch.zeros(4).double()
    shots = torch.tensor([-30.0, -7.0, -5.0, 9.0]).double()
    wide = 100 * normal(1000, 1, seed=1)[:, 0]  # how unlike each other images are
    fresh = (none, wide)
    assert likelier((shots, wide + usual), fresh) == 2
    assert likelier((shots, wide + 10 * usual), fresh) == 0
    assert likelier((shots, wide + usual - 10), fresh) == 1  # samples that help all images
    assert likelier((shots, wide + usual + 50), fresh) == 2  # or none but shots
    outlier = torch.cat([usual, torch.tensor([-1e6, 1e6]).double()])
    both = torch.cat([wide, torch.zeros(2).double()])
    assert likelier((shots, both + outlier), (none, both)) == 2


def test_samples_that_are_all_copies_repeat_every_shot():
    """Held-out images are then unlikely without limit, and so is their spread."""
    h = held()
    copies = normal(10, seed=5).repeat(40, 1)
    for fake in (copies, copies + 0.01 * normal(400, seed=1)):
        own, fresh = (h.likelihoods(x) for x in (h.standardised(fake), h.fresh))
        assert likelier(own, fresh) == 10
    one_kind = normal(1, seed=1).repeat(400, 1)
    assert likelier(h.likelihoods(h.standardised(one_kind)), h.likelihoods(h.fresh)) == 0


def test_one_shot_is_refused_in_a_sentence():
    rule = Likelihood(which="gap", most=100, blocks=4)
    one = evidence(pictures(20, 1), pictures(1, 0), pictures(20, 2))
    assert unmet_need(rule, one) == "needs at least two shots"
    with pytest.raises(ValueError, match="shots has 1 images"):
        HeldOut.of(train=normal(1), real=normal(20))
