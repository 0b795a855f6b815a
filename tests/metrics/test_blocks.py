"""Metrics of many samples are computed by blocks: the same value, in bounded memory."""

import pytest
import torch

from fsig_bench.metrics import blocks as blocks_file
from fsig_bench.metrics import prdc as prdc_file
from fsig_bench.metrics import sliced, vendi
from fsig_bench.metrics.cards import check_card
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
