"""KID over subsets, sliced Wasserstein, authenticity, diversity; laws that distances keep."""

import itertools
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_perceptual import evidence, lpips_by_hand, pictures

from fsig_bench.metrics.base import block_error
from fsig_bench.metrics.diversity import LPIPSDiversity
from fsig_bench.metrics.frechet import Frechet, Moments, frechet_distance
from fsig_bench.metrics.kernel import KID, KIDSubsets, mmd2_unbiased
from fsig_bench.metrics.memorisation import AuthPct, authentic
from fsig_bench.metrics.prdc import prdc
from fsig_bench.metrics.sliced import sliced_wasserstein2
from fsig_bench.metrics.vendi import vendi_score


def unit_rows(n, d, seed=0):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def test_one_subset_of_everything_is_the_full_statistic():
    e = evidence(pictures(30, 1), pictures(2, 0), pictures(30, 2))
    rule = {"degree": 3, "coef": 1.0}
    whole = KID(**rule, blocks=3)(e)["value"]
    once = KIDSubsets(**rule, subsets=1, subset_size=1000, max_images=None)(e)
    assert once["value"] == pytest.approx(whole, rel=1e-5) and once["subset_size"] == 30
    many = KIDSubsets(**rule, subsets=60, subset_size=20, max_images=None)(e)
    assert many["value"] == pytest.approx(whole, abs=4 * many["spread_over_subsets"] / 60**0.5)
    assert KIDSubsets(**rule, subsets=60, subset_size=20, max_images=None)(e) == many
    few = KIDSubsets(**rule, subsets=1, subset_size=1000, max_images=10)(e)
    first = mmd2_unbiased(real=e.features("real")[:10], fake=e.features("fake")[:10])
    assert few["value"] == pytest.approx(first, rel=1e-5)


def test_sliced_distance_of_a_shift_is_its_square():
    directions = unit_rows(4000, 6)
    x = torch.randn(50, 6, dtype=torch.float64)
    shift = torch.tensor([3.0, 0, 0, 0, 0, 0])
    exact = float((directions @ shift.double()).square().mean() * 6)
    got = sliced_wasserstein2(real=x, fake=x + shift, directions=directions)
    assert got == pytest.approx(exact, rel=1e-9) and got == pytest.approx(9, rel=0.1)
    same = sliced_wasserstein2(real=x, fake=x[torch.randperm(50)], directions=directions)
    assert same == pytest.approx(0, abs=1e-20)


def test_sliced_distance_in_one_dimension_by_hand():
    x, y = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[6.0], [0.5], [2.0]])
    one = torch.ones(1, 1)
    assert sliced_wasserstein2(real=x, fake=y, directions=one) == pytest.approx((0.25 + 1 + 1) / 3)
    twice = sliced_wasserstein2(real=x.repeat(2, 1), fake=y, directions=one)
    assert twice == pytest.approx((0.25 + 1 + 1) / 3)


def test_authenticity_by_hand():
    train = torch.tensor([[0.0], [1.0], [10.0]])
    fake = torch.tensor([[0.0], [0.4], [-1.0], [-1.1], [5.0], [12.0]])
    # radii to the nearest other: 1, 1, 9; nearest row and distance of each fake: 0 0, 0 .4, 0 1,
    # 0 1.1, 1 4, 2 2; the third is as far from its row as that is from the next: not farther
    assert authentic(train=train, fake=fake).tolist() == [False, False, False, True, True, False]


def test_copies_of_repeated_shots_are_not_authentic_either():
    train = torch.randn(40, 192, generator=torch.Generator().manual_seed(0)) * 3
    train[1::2] = train[::2]
    assert not authentic(train=train, fake=train.repeat(20, 1)).any()
    assert authentic(train=train, fake=train + 0.01).all()  # other rows, if only just


def test_copies_are_not_authentic_and_one_shot_has_no_answer():
    shots = pictures(4, 0)
    assert AuthPct()(evidence(shots.repeat(2, 1, 1, 1), shots))["value"] == 0
    with pytest.raises(ValueError, match="at least 2"):
        AuthPct()(evidence(shots, shots[:1]))


def test_diversity_is_the_mean_over_pairs_and_sees_no_order():
    x = pictures(7, 3)
    rule = LPIPSDiversity(count=200)
    pairs = [lpips_by_hand(a, b) for a, b in itertools.combinations(x, 2)]
    result = rule(evidence(x, x[:1]))
    assert result["value"] == pytest.approx(sum(pairs) / 21, abs=1e-6) and result["pairs"] == 21
    some = LPIPSDiversity(count=4)
    assert some(evidence(x, x[:1]))["value"] == pytest.approx(
        some(evidence(x.flip(0), x[:1]))["value"], rel=1e-6
    )
    assert rule(evidence(x[:1].repeat(5, 1, 1, 1), x[:1]))["value"] == pytest.approx(0, abs=1e-9)


DISTANCES = {
    "frechet": lambda a, b: frechet_distance(real=a, fake=b),
    "kid": lambda a, b: mmd2_unbiased(real=a, fake=b),
    "sliced": lambda a, b: sliced_wasserstein2(
        real=a, fake=b, directions=unit_rows(50, a.shape[1])
    ),
}
CLOUDS = st.tuples(st.integers(6, 30), st.integers(2, 12), st.integers(0, 10**6))


@pytest.mark.parametrize("name", DISTANCES)
@settings(max_examples=25, deadline=None)
@given(cloud=CLOUDS)
def test_distances_are_symmetric_blind_to_order_and_grow_with_a_shift(name, cloud):
    n, d, seed = cloud
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(n, d, generator=g, dtype=torch.float64)
    b = torch.randn(n + 3, d, generator=g, dtype=torch.float64)
    distance = DISTANCES[name]
    value = distance(a, b)
    if name != "sliced":  # quantiles of unlike sizes are matched from one side
        assert distance(b, a) == pytest.approx(value, rel=1e-6, abs=1e-8)
    assert distance(a[torch.randperm(n, generator=g)], b) == pytest.approx(
        value, rel=1e-6, abs=1e-8
    )
    assert distance(a, a) <= 1e-6
    far = [distance(a, a + s) for s in (1.0, 2.0, 4.0)]
    assert far == sorted(far) and far[0] < far[2]


@settings(max_examples=25, deadline=None)
@given(cloud=CLOUDS, cut=st.integers(1, 5))
def test_moments_of_shards_add_up(cloud, cut):
    n, d, seed = cloud
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * 100 + 1000
    parts = Moments.of(x[:cut]) + Moments.of(x[cut:])
    whole = torch.cov(x.double().T).reshape(d, d)
    torch.testing.assert_close(parts.cov, whole, rtol=1e-8, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(cloud=CLOUDS)
def test_a_part_of_the_real_set_is_precise_and_covers_no_more_than_the_whole(cloud):
    n, d, seed = cloud
    real = torch.randn(n + 10, d, generator=torch.Generator().manual_seed(seed))
    part, whole = (prdc(real=real, fake=f, k=3) for f in (real[:5], real))
    assert part["precision"] == whole["precision"] == 1
    assert part["coverage"] <= whole["coverage"] == 1
    assert 1 <= vendi_score(real[:5]) <= 5 + 1e-9


def test_the_error_of_a_single_run_is_that_of_disjoint_blocks():
    """Means of blocks of normal draws: the standard error of the whole is known."""
    x = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = block_error(lambda part: float(part.mean()), x, 20)
    means = [float(part.mean()) for part in x.split(200)]
    assert found["standard_error"] == pytest.approx(statistics.stdev(means) / 20**0.5, rel=1e-5)
    assert found["standard_error"] == pytest.approx(1 / 4000**0.5, rel=0.5)
    assert (found["blocks"], found["size"]) == (20, 200)
    assert block_error(lambda part: 0.0, x[:50], 20) is None
    e = evidence(pictures(60, 1), pictures(2, 0), pictures(30, 2))
    result = Frechet(blocks=3)(e)
    parts = [
        frechet_distance(real=e.features("real"), fake=f) for f in e.features("fake").split(20)
    ]
    expected = statistics.stdev(parts) / 3**0.5
    assert result["error"]["standard_error"] == pytest.approx(expected, rel=1e-4)
    assert result["value"] < statistics.fmean(parts)  # blocks are biased upwards, and are not shown
