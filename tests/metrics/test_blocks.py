"""Metrics of many samples are computed by blocks: the same value, in bounded memory."""

import pytest
import torch

from fsig_bench.metrics import blocks as blocks_file
from fsig_bench.metrics import clipped, sliced, vendi
from fsig_bench.metrics import prdc as prdc_file
from fsig_bench.metrics.cards import check_card
from fsig_bench.metrics.frechet import frechet_distance
from fsig_bench.metrics.lpips import mean_pairwise, mean_pairwise_of_parts


@pytest.fixture
def features():
    g = torch.Generator().manual_seed(0)
    return torch.randn(230, 12, generator=g), torch.randn(310, 12, generator=g) * 1.2 + 0.1


def test_neighbours_by_blocks(features, monkeypatch):
    real, fake = features
    whole = prdc_file.prdc(real=real, fake=fake, k=5)
    monkeypatch.setattr(blocks_file, "MOST", 7 * 310)
    assert blocks_file.block_of(310) == 7
    assert prdc_file.prdc(real=real, fake=fake, k=5) == pytest.approx(whole, abs=1e-12)


def test_blocks_are_as_before_for_sixteen_thousand_samples():
    """Numbers of records that were made before there were smaller blocks stay."""
    assert blocks_file.block_of(16_384) == blocks_file.BLOCK == 1024
    assert blocks_file.block_of(50_000) * 50_000 <= 1 << 24


def test_directions_by_blocks(features, monkeypatch):
    real, fake = features
    towards = torch.nn.functional.normalize(torch.randn(40, 12), dim=1)
    whole = sliced.sliced_wasserstein2(real=real, fake=fake, directions=towards)
    monkeypatch.setattr(sliced, "MOST", 310 * 7)
    parts = sliced.sliced_wasserstein2(real=real, fake=fake, directions=towards)
    assert parts == pytest.approx(whole, rel=1e-12)


def test_the_dual_kernel_by_blocks(features, monkeypatch):
    whole = vendi.vendi_score(features[1])
    monkeypatch.setattr(vendi, "BLOCK", 32)
    assert vendi.vendi_score(features[1]) == pytest.approx(whole, rel=1e-12)


def test_pairs_of_a_large_cluster_from_sums(features):
    z = features[1] + 100.0  # far from the origin: little may cancel
    whole = mean_pairwise(z)
    assert mean_pairwise_of_parts(z.split(50)) == pytest.approx(whole, rel=1e-9)
    assert mean_pairwise_of_parts(z.split(50), block=5) == pytest.approx(whole, rel=1e-9)
    assert mean_pairwise_of_parts([z[:1].repeat(4, 1)]) == 0.0


@pytest.mark.parametrize("limit", [0, 2.5, True, "many"])
def test_an_impossible_limit_of_a_card_is_refused(limit):
    with pytest.raises(ValueError, match=f"max_samples={limit!r}"):
        check_card("mine", {"heading": "mine", "max_samples": limit})


def rows(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double() + 3.0


@pytest.mark.parametrize("many", [0, 16, 10**9])
def test_distances_at_a_limit_are_exact_and_the_others_are_right(monkeypatch, many):
    """Whether some pairs are near a limit, or so many that all are computed anew, or all are."""
    monkeypatch.setattr(blocks_file, "MANY", many)
    x = rows(40, 192)
    y = torch.cat([x[:20], rows(30, 192, seed=1)])
    exact = (x[:, None] - y[None]).square().sum(2).sqrt()
    found = blocks_file.distances_about(x, y, torch.zeros(40, 1).double(), exact[:1, :])
    assert torch.equal(found == 0, exact == 0) and int((found == 0).sum()) == 20
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-5)
    assert torch.equal(found[0], blocks_file.exact_distances(x[:1], y)[0])


def test_a_radius_is_the_exact_distance_of_the_neighbour():
    x = rows(60, 192).repeat(2, 1)
    assert blocks_file.radii(x, 1).tolist() == [0.0] * 120
    exact = blocks_file.exact_distances(x, x)
    assert torch.equal(blocks_file.radii(x, 4), exact.kthvalue(5, dim=1).values)


@pytest.mark.parametrize("ties, recall", [("outside", 0.0), ("inside", 1.0)])
def test_copies_of_the_reference_lie_on_their_balls_edge_in_any_order(ties, recall):
    """Each fake has more than k equal ones, so that every ball is a point at a real image."""
    real = rows(10, 192)
    for seed in range(4):
        order = torch.randperm(500, generator=torch.Generator().manual_seed(seed))
        fake = real.repeat(50, 1)[order]
        values = prdc_file.prdc(real=real, fake=fake, k=3, ties=ties)
        assert values["recall"] == recall


def test_a_copied_neighbour_lies_at_the_radius_of_clipped_balls():
    """The k-th neighbour itself is at the radius: not inside for coverage, inside for density."""
    real = rows(60, 192)
    exact = blocks_file.exact_distances(real, real)
    for k in (2, 5):
        balls = clipped.Balls.around(real, k)
        held = (exact < balls.radius[:, None]).sum(1)
        assert held.tolist() == [k] * 60  # the image itself and k - 1 others
        assert balls.values(real.flip(0)) == balls.values(real)
        counts = (exact <= balls.clipped[:, None]).sum(0).double()
        expected = float((counts / k).clamp(max=1).mean()) / balls.own_density
        assert balls.values(real)["clipped_density"] == min(expected, 1.0)


@pytest.mark.parametrize("shift, least, most", [(0.0, 1.6, 2.6), (1.0, 0.75, 1.3)])
def test_the_error_from_blocks_is_conservative_near_equality_and_right_elsewhere(
    shift, least, most
):
    real = rows(800, 4)
    values, errors = [], []
    for seed in range(1, 61):
        fake = rows(250, 4, seed=seed) + shift
        values.append(frechet_distance(real=real, fake=fake))
        error = blocks_file.block_error(lambda x: frechet_distance(real=real, fake=x), fake, 5)
        errors.append(error["standard_error"])
    said = torch.tensor(errors).square().mean().sqrt()
    assert least < float(said / torch.tensor(values).std()) < most
