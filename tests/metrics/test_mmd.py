"""Gaussian MMD and its permutation test: closed forms, the level under equality, the power."""

import itertools
import math

import pytest
import torch
from test_perceptual import evidence, pictures

from fsig_bench.metrics import blocks as blocks_file
from fsig_bench.metrics import kernels as kernels_file
from fsig_bench.metrics.kernel import mmd2_unbiased
from fsig_bench.metrics.kernels import Gaussian, Polynomial, median_distance, mmd2_to
from fsig_bench.metrics.mmd import MMD
from fsig_bench.metrics.permutation import MMDTest, TwoSampleTest, p_value, permuted_statistics
from fsig_bench.runner.score import apply_metrics


def normal(n, d=4, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gaussian_mmd_by_hand():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    k = [math.exp(-(t**2) / 2) for t in range(3)]
    expected = k[1] + k[2] - 2 * (k[0] + k[2] + k[1] + k[1]) / 4
    kernel = Gaussian(width=1.0).fitted(x)
    assert mmd2_to(x, kernel)(y) == pytest.approx(expected, rel=1e-12)


def test_it_estimates_the_distance_of_two_normal_distributions():
    """Its expectation for a shift s in d dimensions at width 1 is 2 3^(-d/2) (1 - e^(-s^2/6))."""
    x, y = normal(2000, 2), normal(1500, 2, seed=1)
    y[:, 0] += 1
    expected = 2 / 3 * (1 - math.exp(-1 / 6))
    assert mmd2_to(x, Gaussian(width=1.0).fitted(x))(y) == pytest.approx(expected, rel=0.1)


def test_the_polynomial_is_that_of_kid_and_blocks_change_nothing(monkeypatch):
    x, y = normal(230), normal(310, seed=1) + 0.3
    kinds = [Polynomial(degree=3, coef=1.0), Gaussian(width=None)]
    whole = [mmd2_to(x, kind.fitted(x))(y) for kind in kinds]
    assert whole[0] == pytest.approx(mmd2_unbiased(real=x, fake=y), rel=1e-9)
    monkeypatch.setattr(blocks_file, "MOST", 7 * 310)
    assert [mmd2_to(x, k.fitted(x))(y) for k in kinds] == pytest.approx(whole, rel=1e-9)


def test_the_width_is_the_median_distance_of_the_reference(monkeypatch):
    x = torch.tensor([[0.0], [1.0], [3.0]])
    assert median_distance(x) == 2.0 and Gaussian(width=None).fitted(x).width == 2.0
    monkeypatch.setattr(kernels_file, "MEDIAN_OF", 2)
    assert median_distance(x) == 3.0  # of the first and the last


def test_images_that_are_repeated_often_leave_the_width_to_those_that_differ():
    mostly_one = torch.cat([torch.zeros(20, 1), torch.tensor([[3.0], [3.0]])])
    assert median_distance(mostly_one) == 3.0
    assert math.isnan(median_distance(torch.ones(5, 2))) and math.isnan(median_distance(normal(1)))


def test_a_thousand_copies_of_one_image_are_told_from_the_reference():
    rule = TwoSampleTest(kernel=Gaussian(width=None), permutations=200, images=1000)
    one, real = normal(1).repeat(1000, 1), normal(200, seed=1)
    assert p_value(*rule.statistics(one, real, 0)) == 1 / 201
    assert p_value(*rule.statistics(one, one[:200], 0)) == 1.0  # no two images differ


def test_a_reference_of_equal_images_gives_no_distance_but_the_reason():
    same, rule = (
        pictures(1, 2).repeat(9, 1, 1, 1),
        MMD(kernel=Gaussian(width=None), unit=False, blocks=2),
    )
    found = apply_metrics({"mmd": rule}, evidence(pictures(9, 1), same, same), title="")["mmd"]
    assert found["value"] is None and "images differ" in found["reason"]


def test_at_cmmds_width_it_is_the_distance_of_mean_unit_embeddings():
    e = evidence(pictures(80, 1), pictures(2, 0), pictures(60, 2, high=100))
    result = MMD(kernel=Gaussian(width=10.0), unit=True, blocks=4)(e)
    fake, real = (
        torch.nn.functional.normalize(e.features(role).double(), dim=1) for role in ("fake", "real")
    )
    spread = sum(float(x.var(0).sum()) / len(x) for x in (fake, real))
    square = float((fake.mean(0) - real.mean(0)).square().sum()) - spread  # unbiased
    assert result["value"] == pytest.approx(square / 100, rel=0.03)
    assert result["width"] == 10 and result["error"]["size"] == 20


def test_permuted_statistics_are_those_of_the_permuted_images():
    x, y = normal(5), normal(3, seed=1)
    pooled = torch.cat([x, y])
    kernel = Gaussian(width=1.5).fitted(pooled)
    gram = kernel.between(pooled, pooled)
    draws = torch.Generator().manual_seed(0)
    found = permuted_statistics(gram, 5, permutations=300, draws=draws)
    assert float(found[0]) == pytest.approx(mmd2_to(x, kernel)(y), rel=1e-9)
    possible = []
    for chosen in itertools.combinations(range(8), 5):
        others = [i for i in range(8) if i not in chosen]
        possible.append(mmd2_to(pooled[list(chosen)], kernel)(pooled[others]))
    gaps = (found[:, None] - torch.tensor(possible, dtype=torch.float64)).abs().min(1).values
    assert float(gaps.max()) < 1e-12
    assert len(found) == 301 and len({round(float(v), 9) for v in found}) > 40  # of 56


def test_the_true_labels_count_as_one_permutation():
    assert p_value(torch.tensor([5.0, 1, 2, 3]), 1.0) == 1 / 4
    assert p_value(torch.tensor([2.0, 1, 2, 3]), 1.0) == 3 / 4  # a tie reaches it
    assert p_value(torch.tensor([0.0, 1, 2, 3]), 1.0) == 1.0


CHECK = TwoSampleTest(kernel=Gaussian(width=None), permutations=19, images=1000)


def p_of(x, y, seed):
    return p_value(*CHECK.statistics(x, y, seed))


def test_the_level_is_exact_under_equality_whatever_the_sizes():
    """Of 1,000 tests at 5 % about 50 reject: four standard deviations are 28."""
    g = torch.Generator().manual_seed(0)
    values = torch.tensor(
        [
            p_of(*torch.randn(36, 3, generator=g, dtype=torch.float64).exp().split([12, 24]), i)
            for i in range(1000)
        ]
    )
    assert 22 <= int((values <= 0.05 + 1e-9).sum()) <= 78
    assert 0.45 < float((values <= 0.5 + 1e-9).double().mean()) < 0.55


def test_the_power_is_high_where_a_difference_is_known():
    g = torch.Generator().manual_seed(1)

    def rejects(shift, spread):
        x, y = torch.randn(2, 40, 3, generator=g, dtype=torch.float64)
        return p_of(x, spread * y + shift, 0) <= 0.05 + 1e-9

    assert sum(rejects(1.0, 1.0) for _ in range(20)) >= 19
    assert sum(rejects(0.0, 0.3) for _ in range(20)) >= 19  # the same mean


def test_pairs_are_tested_together_and_permuted_apart():
    """Two pairs with opposite large shifts differ between each other, not within."""
    a, b = normal(60, seed=2), normal(60, seed=3)
    alike = [(a[:30], a[30:]), (b[:30] + 50, b[30:] + 50)]
    assert CHECK.together(alike, 0) > 0.05
    assert CHECK.together([(a[:30], a[30:] + 2), (b[:30], b[30:] - 2)], 0) == 1 / 20


def test_the_metric_draws_by_its_seed_and_says_how_far_off():
    rule = MMDTest(kernel=Gaussian(width=None), permutations=99, images=30)
    shots = pictures(2, 0)
    other = rule(evidence(pictures(40, 1), shots, pictures(50, 2, high=100)))
    assert other["value"] == 1 / 100 and other["deviations"] > 5 and other["images"] == [30, 30]
    e = evidence(pictures(40, 1), shots, pictures(50, 2))
    same = rule(e)
    assert same["value"] > 0.05 and rule(e) == same
    with pytest.raises(ValueError, match="permutations=0"):
        MMDTest(kernel=Gaussian(width=None), permutations=0, images=30)
