"""RS-IMLE: its generator's size, the rules of rejection and assignment, and that it learns."""

import dataclasses
import math

import pytest
import torch
from helpers import composed
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.common.ema import Average
from baselines.rs_imle import (
    RSIMLE,
    Adaptive,
    Architecture,
    Generator,
    Projection,
    Rejection,
    Sampling,
)
from baselines.rs_imle.assignments import Assignments
from baselines.rs_imle.generator import new_generator, parse_blocks
from baselines.rs_imle.goals import Goals
from baselines.rs_imle.search import (
    distances,
    layer_widths,
    nearest,
    pool_size,
    random_matrix,
    random_rows,
)
from fsig_bench.api.seeding import derive
from fsig_bench.api.types import NoProgress
from fsig_bench.metrics.prdc import prdc
from fsig_bench.networks.random_trunk import RandomTrunk

PAPER = Architecture(
    latent_dim=1024,
    mapping_layers=8,
    width=384,
    bottleneck=0.25,
    blocks="1x4,4m1,4x4,8m4,8x4,16m8,16x3,32m16,32x2,64m32,64x2,128m64,128x2,256m128",
    norm_eps=0.01,
)
TRUNK = RandomTrunk(seed=0, width=4)
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
        "perceptual": TRUNK,
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
        "keep_features": True,
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
    rows = Projection(kind="l2", width=800, normalise=True).drawn(TRUNK, x, 0)(x)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(40))
    flat = torch.nn.functional.normalize(x.flatten(1), dim=1)
    ratio = distances(rows, rows) / distances(flat, flat).clamp(min=1e-3)
    away = ~torch.eye(40, dtype=torch.bool)
    assert abs(float(ratio[away].mean()) - 1) < 0.02 and float(ratio[away].std()) < 0.05


def test_wide_features_are_projected_in_blocks_by_one_matrix():
    x = torch.randn(3, 40_000, generator=torch.Generator().manual_seed(0))
    matrix, other = (random_matrix(40_000, 8, x.device, seed, "l2") for seed in (5, 6))
    assert [len(block) for block in matrix] == [1 << 14, 1 << 14, 40_000 - (1 << 15)]
    torch.testing.assert_close(torch.cat(matrix).norm(dim=1), torch.ones(40_000))
    a = random_rows(x, matrix)
    torch.testing.assert_close(a, x @ torch.cat(matrix), rtol=1e-4, atol=1e-3)
    assert not torch.allclose(random_rows(x, other), a)


def test_layers_share_the_rows_as_in_the_official_code():
    sizes = [64 * 256**2, 128 * 128**2, 256 * 64**2, 512 * 32**2, 512 * 16**2]  # VGG-16, 256 px
    assert layer_widths(sizes, 800) == [419, 209, 104, 52, 16]


@pytest.mark.parametrize("normalise", [True, False])
def test_layers_are_searched_without_their_areas(normalise):
    """Squared distances between rows: of unit features, a layer as large as its map and width."""
    x = torch.rand(30, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    projection = Projection(kind="lpips", width=8000, normalise=normalise)
    rows = projection.drawn(TRUNK, x, 0)(x)
    units = [torch.nn.functional.normalize(m, dim=1).flatten(1) for m in TRUNK.trunk(x)]
    want = torch.cat(units, 1) / 3**0.5
    want = torch.nn.functional.normalize(want, dim=1) if normalise else want
    ratio = (distances(rows, rows) / distances(want, want))[~torch.eye(30, dtype=torch.bool)]
    assert abs(float(ratio.mean()) - 1) < 0.02 and float(ratio.std()) < 0.05
    # As in the loss, small deep maps would count as much as large ones: another metric.
    z = TRUNK.perceive(x)
    z = torch.nn.functional.normalize(z, dim=1) if normalise else z
    loss = (distances(rows, rows) / distances(z, z))[~torch.eye(30, dtype=torch.bool)]
    assert float((loss / loss.mean()).std()) > 2 * float((ratio / ratio.mean()).std())


def test_both_spaces_side_by_side_count_alike():
    x = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    rows = Projection(kind="combined", width=800, normalise=True).drawn(TRUNK, x, 0)(x)
    for half in rows.split(400, 1):
        torch.testing.assert_close(half.norm(dim=1), torch.ones(5))


def test_near_hits_are_told_apart_in_half_precision_too():
    g = torch.Generator().manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(4, 800, generator=g), dim=1)
    b = torch.nn.functional.normalize(a + 0.1 * torch.randn(4, 800, generator=g) / 800**0.5, dim=1)
    want = distances(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(distances(a, b), want)
        x = torch.rand(3, 3, 16, 16, generator=g)
        project = Projection(kind="l2", width=64, normalise=True).drawn(TRUNK, x, 0)
        half = project(x)
    torch.testing.assert_close(half, project(x))


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


@pytest.mark.parametrize(("eps", "rel"), [(0.0, 0.06), (0.5, 0.01)])  # about 3 standard errors
def test_distances_of_matches_follow_their_law(eps, rel):
    """One shot at 0 and G(z) = z in the plane, so that |z|^2 / 2 is exponential.

    The nearest of m has a mean |z|^2 of 2 / m; with rejection of eps^2 + E[2 / survivors].
    """
    m, g, found = 50, torch.Generator().manual_seed(0), []
    for _ in range(3000):
        table = torch.randn(1, m, 2, generator=g).norm(dim=2)
        found.append(table[0, nearest(table, balls(eps).mask(table, eps))].square())
    stay = math.exp(-(eps**2) / 2)  # mass outside the ball
    law = [math.comb(m, s) * stay**s * (1 - stay) ** (m - s) * 2 / s for s in range(1, m + 1)]
    assert float(torch.cat(found).mean()) == pytest.approx(eps**2 + sum(law), rel=rel)


def ten_points(seed):
    """In the plane, no two nearer than 0.35."""
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(1, 2, generator=g) * 2 - 1
    while len(points) < 10:
        point = torch.rand(1, 2, generator=g) * 2 - 1
        if (point - points).norm(dim=1).min() > 0.35:
            points = torch.cat([points, point])
    return points


def samples_in_the_plane(eps, seed):
    """Of a small network after 600 pools of 200 codes, three steps for each: [2000, 2]."""
    points = ten_points(seed)
    m = method(
        architecture=dataclasses.replace(SMALL, latent_dim=2),
        rejection=balls(eps),
        pool_factor=20,
        decode_batch=200,
    )
    torch.manual_seed(seed)
    widths = [nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)]
    net = nn.Sequential(*widths)
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    pairs = Assignments.fresh(10, 2, 2, 0.0, "cpu")
    for epoch in range(600):
        m.assign(net, pairs, torch.arange(10), points, lambda rows: rows, seed, epoch)
        for _ in range(3):
            loss = (net(pairs.z) - points).square().sum(1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    with torch.no_grad():
        return points, net(torch.randn(2000, 2, generator=torch.Generator().manual_seed(99)))


def test_rejection_moves_latent_mass_to_the_data_and_held_out_recall_falls():
    """The published effect, as on the project page: ten points, eps = 0.09.

    Codes far from every point are trained too, so fewer of them are left at test time. Recall and
    coverage of held-out points around the data fall at the same time: the balls around samples
    that have moved to the points are smaller.
    """
    far, recall, coverage = [], [], []
    for eps in (0.0, 0.09):
        shares, values = [], []
        for seed in (1, 2):
            points, samples = samples_in_the_plane(eps, seed)
            gaps = distances(points, samples).min(0).values
            shares.append(float((gaps > 2 * 0.09).float().mean()))
            g = torch.Generator().manual_seed(seed)
            held_out = points.repeat(100, 1) + 0.1 * torch.randn(1000, 2, generator=g)
            values.append(prdc(real=held_out, fake=samples, k=5))
        far.append(sum(shares) / 2)
        recall.append(sum(v["recall"] for v in values) / 2)
        coverage.append(sum(v["coverage"] for v in values) / 2)
    assert far[0] > 0.4 and far[1] < 0.75 * far[0]
    assert recall[1] < recall[0] and coverage[1] < coverage[0]


class Stops(TorchDispatchMode):
    """Counts operations that make the host wait for a device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.count += name in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")
        return func(*args, **(kwargs or {}))


class Still:
    """An optimiser that does nothing."""

    param_groups = ({"lr": 0.0},)

    def zero_grad(self, set_to_none):
        return None

    def step(self):
        return None


def test_a_pass_over_the_shots_never_waits_for_the_device():
    m, net = method(shuffle=True), Generator(SMALL)
    pairs = Assignments.fresh(12, 8, 64, 1.0, "cpu")
    goals = Goals.of(shots(12), TRUNK, keep=True, batch=4)
    with Stops() as stops:
        m._pass(net, Average.of(net), Still(), pairs, goals, 0, 0)
    assert stops.count == 0 and torch.isfinite(pairs.loss).all()
    with Stops() as stops:
        float(pairs.loss.mean())
    assert stops.count == 1


@dataclasses.dataclass(frozen=True)
class Counting:
    """A perceptual network that counts the images it sees, with and without gradients."""

    seen: list = dataclasses.field(default_factory=list)

    def trunk(self, images):
        return TRUNK.trunk(images)

    def perceive(self, images):
        self.seen.append((len(images), images.requires_grad))
        return TRUNK.perceive(images)


@pytest.mark.parametrize("shuffle", [False, True])
def test_features_of_the_shots_are_computed_once_and_change_nothing(shuffle):
    states, plain = [], []
    for keep in (True, False):
        net = Counting()
        m = method(perceptual=net, keep_features=keep, shuffle=shuffle, epochs=6)
        states.append(m.adapt(shots(10), seed=0, progress=NoProgress()))
        plain.append(sum(n for n, trained in net.seen if not trained))
    assert plain == [10, 6 * 10]
    for name, value in states[0].tensors.items():
        if shuffle:  # other batches: the same up to rounding
            torch.testing.assert_close(value, states[1].tensors[name], rtol=1e-3, atol=1e-4)
        else:
            assert torch.equal(value, states[1].tensors[name])


def test_a_loss_that_is_not_finite_stops_the_run_before_a_checkpoint():
    watch = Watch()
    with pytest.raises(FloatingPointError, match=r"in epoch 0; lower lr="):
        method(mse_weight=math.inf).adapt(shots(), seed=0, progress=watch)
    assert not watch.codes


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
    pairs = Assignments.fresh(4, 8, 64, 1.0, "cpu")
    pairs.loss = torch.tensor([0.5, 0.5, 2.0, 2.0])
    pairs.age = torch.tensor([1, 2, 4, 5])
    assert m.due(3, pairs).tolist() == [1, 3]
    assert len(m.due(0, pairs)) == 4
    targets = torch.nn.functional.normalize(torch.randn(4, 64), dim=1)
    project = m.projection.drawn(TRUNK, shots(), 0)
    m.assign(Generator(SMALL), pairs, m.due(3, pairs), targets, project, 0, 3)
    assert pairs.tau.tolist() == pytest.approx([1.0, 0.45, 1.0, 1.8])
    assert pairs.age.tolist() == [1, 0, 4, 0]


def test_first_thresholds_follow_from_the_loss_before_any_code():
    """As in Adaptive IMLE's code: (1 - change) times the loss of the codes that it starts from."""
    m = method(adaptive=Adaptive(tau=1.0, change=0.1, staleness=2), max_iterations=1)
    kept = {}
    watch = Watch()
    watch.save = lambda done, tensors: kept.update(tensors)
    m.adapt(shots(), seed=0, progress=watch)
    net = new_generator(SMALL, derive(0, "rs_imle", "weights"))
    with torch.no_grad():
        first = m.losses(net(torch.zeros(len(shots()), SMALL.latent_dim)), Goals(shots(), None))
    torch.testing.assert_close(kept["book/tau"], 0.9 * first, rtol=1e-4, atol=1e-5)


def test_the_generators_output_starts_without_an_offset():
    net = new_generator(SMALL, 0)
    assert not net.head.bias.any() and net.head.weight.any()


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
