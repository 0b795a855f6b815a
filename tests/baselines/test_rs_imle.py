"""RS-IMLE: its generator's size, the rules of rejection and assignment, and that it learns."""

import dataclasses

import pytest
import torch
from helpers import composed

from baselines.rs_imle import (
    RSIMLE,
    Adaptive,
    Architecture,
    Generator,
    Projection,
    Rejection,
    Sampling,
)
from baselines.rs_imle.book import Book
from baselines.rs_imle.generator import parse_blocks
from baselines.rs_imle.search import distances, nearest, pool_size, random_rows
from fsig_bench.features import RandomTrunk
from fsig_bench.types import NoProgress

PAPER = Architecture(
    latent_dim=1024,
    mapping_layers=8,
    width=384,
    bottleneck=0.25,
    blocks="1x4,4m1,4x4,8m4,8x4,16m8,16x3,32m16,32x2,64m32,64x2,128m64,128x2,256m128",
    norm_eps=0.01,
)
SMALL = Architecture(
    latent_dim=8,
    mapping_layers=2,
    width=16,
    bottleneck=0.25,
    blocks="1x1,4m1,8m4",
    norm_eps=0.01,
)


def balls(eps, relative=False, mode="exact", chunk=1024):
    return Rejection(eps=eps, relative=relative, mode=mode, chunk=chunk)


def method(**changes):
    values = {
        "device": "cpu",
        "resolution": 8,
        "perceptual": RandomTrunk(seed=0, width=4),
        "architecture": SMALL,
        "projection": Projection(kind="l2", width=64, normalise=True),
        "rejection": balls(0.0),
        "adaptive": None,
        "pool_factor": 4,
        "pool_round_to": 8,
        "decode_batch": 16,
        "refresh_every": 5,
        "perturb": 1e-3,
        "lpips_weight": 1.0,
        "mse_weight": 0.1,
        "lr": 2e-3,
        "betas": [0.9, 0.9],
        "weight_decay": 0.01,
        "warmup_iterations": 10,
        "decay_every": 4000,
        "decay_by": 0.25,
        "batch": 4,
        "shuffle": False,
        "epochs": 12,
        "max_iterations": None,
        "ema_keep": 0.99,
        "sample": Sampling(use_average=False),
    }
    return RSIMLE(**(values | changes))


def shots(k=4):
    coarse = torch.rand(k, 3, 2, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=8, mode="nearest")


def test_size_of_the_published_generator():
    with torch.device("meta"):
        assert sum(p.numel() for p in Generator(PAPER).parameters()) == 36_578_185
    assert len(parse_blocks(PAPER.blocks)) == 28


def test_blocks_are_checked():
    assert parse_blocks("1x2,4m1") == [(1, False), (1, False), (4, True)]
    for bad in ("1x1,8m4", "1x1,4", "4m1"):
        with pytest.raises(ValueError, match="blocks="):
            parse_blocks(bad)


def test_images_have_the_last_blocks_side():
    assert Generator(SMALL)(torch.randn(3, 8)).shape == (3, 3, 8, 8)


def test_adain_is_the_identity_up_to_normalisation_at_the_start():
    net = Generator(SMALL)
    norm = net.blocks[-1].norm
    with torch.no_grad():
        norm.style.weight.zero_()
        x = torch.randn(2, 16, 8, 8)
        y = norm(x, torch.randn(2, 8))
    torch.testing.assert_close(y.mean((2, 3)), torch.zeros(2, 16), atol=1e-5, rtol=0)
    want = x.var((2, 3), correction=0) / (x.var((2, 3), correction=0) + 0.01)
    torch.testing.assert_close(y.var((2, 3), correction=0), want)


@pytest.mark.parametrize(
    ("n", "october", "december"),
    [(64, 1024, 2048), (97, 1024, 2048), (100, 1024, 2048), (120, 2048, 3072), (160, 2048, 4096)],
)
def test_pool_sizes_of_the_official_runs(n, october, december):
    assert pool_size(n, 10, 1024) == october
    assert pool_size(n, 20, 1024) == december


def test_learning_rate_at_named_points():
    m = method(lr=2e-4)
    assert m.rate(0, 0) == 0
    assert m.rate(5, 0) == pytest.approx(1e-4)
    assert m.rate(10, 0) == pytest.approx(2e-4)
    for epoch, factor in ((3999, 1), (4000, 1 / 4), (8000, 1 / 16), (12000, 1 / 64)):
        assert m.rate(epoch * 25, epoch) == pytest.approx(2e-4 * factor)


def test_distances_are_euclidean():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 30, generator=g), torch.randn(9, 30, generator=g)
    torch.testing.assert_close(distances(a, b), torch.cdist(a, b), rtol=1e-4, atol=1e-4)


def test_projection_keeps_distances_in_expectation():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, 16, 16, generator=g)
    rows = Projection(kind="l2", width=800, normalise=True)(x, None, 0)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(40))
    flat = torch.nn.functional.normalize(x.flatten(1), dim=1)
    ratio = distances(rows, rows) / distances(flat, flat).clamp(min=1e-3)
    away = ~torch.eye(40, dtype=torch.bool)
    assert abs(float(ratio[away].mean()) - 1) < 0.02 and float(ratio[away].std()) < 0.05


def test_wide_features_are_projected_in_blocks_by_one_matrix():
    x = torch.randn(3, 40_000, generator=torch.Generator().manual_seed(0))
    a = random_rows(x, 8, 5)
    torch.testing.assert_close(random_rows(2 * x, 8, 5), 2 * a)
    assert not torch.allclose(random_rows(x, 8, 6), a)


def gaps(n=6, m=300, seed=0):
    g = torch.Generator().manual_seed(seed)
    return distances(torch.rand(n, 2, generator=g), torch.rand(m, 2, generator=g))


def test_survivors_lie_outside_every_ball():
    table = gaps()
    rejected = balls(0.1).mask(table, 0.1)
    assert 0 < rejected.sum() < len(rejected)
    assert (table[:, ~rejected] >= 0.1).all() and (table[:, rejected].min(0).values < 0.1).all()


def test_a_larger_ball_rejects_no_less_and_none_rejects_nothing():
    table, shares = gaps(), []
    for eps in (0.0, 0.02, 0.1, 0.3, 2.0):
        shares.append(int(balls(eps).mask(table, eps).sum()))
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 300


def test_the_codes_rejection_leaves_a_crowd_alive():
    table = gaps(n=1)
    exact, knn5 = (balls(0.5, mode=m, chunk=100).mask(table, 0.5) for m in ("exact", "knn5"))
    assert knn5.sum() == 15 and not (knn5 & ~exact).any() and exact.sum() > 15


def test_relative_balls_follow_the_shots_spacing():
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])  # nearest others: 1, 1, 2, 4
    rule = balls(0.5, relative=True)
    assert rule.radius(line) == pytest.approx(0.5)  # torch's median is the lower of two
    assert rule.radius(10 * line) == pytest.approx(5)
    assert rule.radius(line[:1]) == balls(0.5).radius(line) == 0.5


@pytest.mark.parametrize(("name", "eps"), [("rs_imle", 0.5), ("imle", 0), ("adaimle", 0)])
def test_only_rs_imle_rejects_in_the_mini_suite(name, eps):
    assert composed(f"method={name}", "dataset=babies").method.rejection.eps == eps


def test_nearest_is_the_argmin_of_survivors():
    table, rejected = gaps(), torch.zeros(300, dtype=torch.bool)
    assert torch.equal(nearest(table, rejected), table.argmin(1))
    rejected[table.argmin(1)] = True
    again = nearest(table, rejected)
    assert not rejected[again].any()
    assert (nearest(table, torch.ones(300, dtype=torch.bool)) == -1).all()


def trained(**changes):
    return method(**changes).adapt(shots(), seed=0, progress=NoProgress())


def test_without_balls_it_is_imle():
    tiny = balls(1e-9)
    none, almost = trained(), trained(rejection=tiny)
    for key in none.tensors:
        assert torch.equal(none.tensors[key], almost.tensors[key])


def test_when_all_is_rejected_codes_stay_and_it_is_counted():
    state = trained(rejection=balls(3.0))
    assert state.meta["rejected"] == 1.0
    assert state.meta["without"] == 4 * 3  # epochs 0, 5 and 10


class Watch(NoProgress):
    def __init__(self):
        self.codes = []

    def save(self, done, tensors):
        self.codes.append(tensors["book/z"].clone())


def test_codes_stay_between_refreshes():
    watch = Watch()
    method().adapt(shots(), seed=0, progress=watch)
    for epoch in range(1, 12):
        same = torch.equal(watch.codes[epoch], watch.codes[epoch - 1])
        assert same == (epoch % 5 != 0)


def test_adaptive_shots_move_on_their_own():
    m = method(adaptive=Adaptive(tau=1.0, change=0.1, staleness=2), refresh_every=5)
    book = Book.fresh(4, 8, 64, 1.0)
    book.loss = torch.tensor([0.5, 0.5, 2.0, 2.0])
    book.age = torch.tensor([1, 2, 4, 5])
    assert m.due(3, book).tolist() == [1, 3]
    assert len(m.due(0, book)) == 4
    targets = torch.nn.functional.normalize(torch.randn(4, 64), dim=1)
    m.assign(Generator(SMALL), book, m.due(3, book), targets, 0, 3)
    assert book.tau.tolist() == pytest.approx([1.0, 0.45, 1.0, 1.8])
    assert book.age.tolist() == [1, 0, 4, 0]


def test_loss_counts_decodes():
    state = trained()
    assert state.nfe_adapt == 3 * 16 + 12 * 4


def test_training_brings_the_shots_nearer_and_k_100_runs():
    m = method(epochs=150, refresh_every=10)
    real = shots()
    before, after = (
        dataclasses.replace(m, epochs=e).adapt(real, seed=0, progress=NoProgress())
        for e in (1, 150)
    )
    gap = [float((m.reconstruct(s) - real).square().mean()) for s in (before, after)]
    assert gap[1] < 0.5 * gap[0]
    state = dataclasses.replace(m, epochs=1).adapt(shots(100), seed=0, progress=NoProgress())
    assert state.tensors["codes"].shape == (100, 8)
