"""KID, precision and recall, Vendi: hand values and orientation."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from fsig_bench.metrics.kernel import mmd2_unbiased
from fsig_bench.metrics.prdc import prdc
from fsig_bench.metrics.vendi import vendi_score


def test_kid_by_hand():
    x, y = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[1.0, 1], [0, 0]])
    # k: within x 1, within y 1, across (3.375 + 1) / 2 -> 1 + 1 - 4.375
    assert mmd2_unbiased(real=x, fake=y) == pytest.approx(-2.375, rel=1e-12)


def test_kid_is_the_average_over_all_pairs():
    x, y = torch.randn(7, 4).double(), torch.randn(5, 4).double() + 1

    def k(a, b):
        return (float(a @ b) / 4 + 1) ** 3

    within = [np.mean([k(a, b) for a, b in itertools.permutations(z, 2)]) for z in (x, y)]
    across = np.mean([k(a, b) for a in x for b in y])
    expected = sum(within) - 2 * across
    assert mmd2_unbiased(real=x, fake=y) == pytest.approx(expected, rel=1e-9)
    assert mmd2_unbiased(real=y, fake=x) == pytest.approx(expected, rel=1e-9)


def test_kid_of_equal_distributions_is_about_zero_and_of_shifted_ones_is_not():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1500, 8, generator=g)
    assert abs(mmd2_unbiased(real=a, fake=b)) < 0.02
    assert mmd2_unbiased(real=a, fake=b + 0.5) > 0.2


def test_prdc_of_equal_sets_is_one():
    x = torch.randn(60, 8)
    values = prdc(real=x, fake=x, k=5)
    assert values["precision"] == values["recall"] == values["coverage"] == 1.0
    assert values["density"] == pytest.approx(1.0, abs=0.35)


def test_a_collapsed_cloud_has_high_precision_and_low_recall():
    g = torch.Generator().manual_seed(42)
    wide, tight = 3 * torch.randn(200, 16, generator=g), 0.1 * torch.randn(200, 16, generator=g)
    values = prdc(real=wide, fake=tight, k=5)
    assert values["precision"] > 0.8 > 0.3 > values["recall"]
    assert values["coverage"] < 0.7 < 2 < values["density"]
    swapped = prdc(real=tight, fake=wide, k=5)
    assert swapped["recall"] > 0.8 > 0.3 > swapped["precision"]


def test_prdc_by_brute_force():
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(20, 3, generator=g).double(), torch.randn(15, 3, generator=g).double() + 0.5

    def radius(a, i):
        return sorted(float((a[i] - b).norm()) for j, b in enumerate(a) if j != i)[2]

    inside = [[float((a - b).norm()) <= radius(x, i) for b in y] for i, a in enumerate(x)]
    found = [[float((a - b).norm()) <= radius(y, j) for j, b in enumerate(y)] for a in x]
    expected = {
        "precision": np.mean([any(row[j] for row in inside) for j in range(15)]),
        "recall": np.mean([any(row) for row in found]),
        "density": np.sum(inside) / (3 * 15),
        "coverage": np.mean([any(row) for row in inside]),
    }
    assert prdc(real=x, fake=y, k=3) == pytest.approx(expected)


def test_ties_count_as_named():
    """On a line at 0, 1, 2, 3 with k = 1 every ball reaches 1; the fakes lie on balls' edges."""
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    fake = torch.tensor([[-1.0], [4.0], [5.0]])  # balls of 5, 1 and 1
    inside, outside = (prdc(real=real, fake=fake, k=1, ties=t) for t in ("inside", "outside"))
    assert inside["precision"] == pytest.approx(2 / 3) and outside["precision"] == 0
    assert inside["coverage"] == 1 / 2 and outside["coverage"] == 0
    assert inside["density"] == pytest.approx(2 / 3) and outside["density"] == 0
    # The first fake's ball reaches 4 and holds all reals, the second's holds 3 on its edge.
    assert inside["recall"] == outside["recall"] == 1


@pytest.mark.parametrize("k", [3, 5])
def test_prdc_agrees_with_the_prdc_package(k):
    """They count a distance equal to the radius as outside; continuous features have no ties."""
    theirs = pytest.importorskip("prdc", exc_type=ImportError)
    g = torch.Generator().manual_seed(3)
    x = torch.randn(1500, 16, generator=g).double()  # more than a block
    y = torch.randn(1200, 16, generator=g).double() * 0.8 + 0.2
    expected = theirs.compute_prdc(x.numpy(), y.numpy(), nearest_k=k)
    found = prdc(real=x, fake=y, k=k)
    assert 0.1 < found["recall"] < 0.9
    assert found == pytest.approx({n: float(v) for n, v in expected.items()}, abs=1e-3)


def test_kid_agrees_with_an_independent_estimate():
    """scikit-learn's kernel, all blocks at once; clean-fid's subsets agree within their spread."""
    g = torch.Generator().manual_seed(4)
    x = torch.randn(700, 32, generator=g).double()
    y = torch.randn(600, 32, generator=g).double() * 1.1 + 0.1
    kxx, kyy, kxy = (
        polynomial_kernel(a, b, degree=3, gamma=1 / 32, coef0=1.0)
        for a, b in ((x, x), (y, y), (x, y))
    )
    expected = (kxx.sum() - np.trace(kxx)) / (700 * 699) - 2 * kxy.mean()
    expected += (kyy.sum() - np.trace(kyy)) / (600 * 599)
    assert mmd2_unbiased(real=x, fake=y) == pytest.approx(expected, rel=1e-9)
    theirs = pytest.importorskip("cleanfid.fid", exc_type=ImportError)
    np.random.seed(0)
    subsets = theirs.kernel_distance(x.numpy(), y.numpy(), num_subsets=100, max_subset_size=500)
    assert subsets == pytest.approx(expected, rel=0.05)


def test_too_few_images_for_k_are_refused():
    with pytest.raises(ValueError, match="fake has 5 images"):
        prdc(real=torch.randn(20, 3), fake=torch.randn(5, 3), k=5)


def test_vendi_counts_unlike_rows():
    assert vendi_score(torch.eye(7)) == pytest.approx(7)
    assert vendi_score(torch.ones(9, 4)) == pytest.approx(1)
    assert vendi_score(torch.eye(3).repeat(5, 1)) == pytest.approx(3)  # the dual form


@pytest.mark.parametrize("role", ["real", "fake"])
def test_nan_names_its_role(role):
    sets = {"real": torch.randn(9, 3), "fake": torch.randn(9, 3)}
    sets[role][0, 0] = float("nan")
    with pytest.raises(ValueError, match=role):
        mmd2_unbiased(**sets)
    with pytest.raises(ValueError, match=role):
        prdc(**sets, k=2)


def test_constant_sets_are_points():
    same, other = torch.ones(30, 4), torch.zeros(30, 4)
    assert mmd2_unbiased(real=same, fake=same) == pytest.approx(0, abs=1e-9)
    # k(1, 1) = 8, k(0, 0) = 1, k(0, 1) = 1
    assert mmd2_unbiased(real=same, fake=other) == pytest.approx(8 + 1 - 2)
    assert vendi_score(same) == pytest.approx(1)
    apart = prdc(real=same, fake=other, k=5)
    assert apart["precision"] == apart["recall"] == apart["coverage"] == 0
