import math
from dataclasses import replace

import pytest
import torch
from helpers import composed
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.common.diffusion import Schedule, ddim_loop, guided_step, q_sample
from baselines.crdi import CRDI, Sampling
from baselines.crdi.objective import (
    loss,
    noise_for,
    optimum,
    residuals,
    shot_of,
    split_window,
    stratified_steps,
)
from fsig_bench.api.seeding import ImageGenerators
from fsig_bench.api.types import NoProgress

SAMPLE = Sampling(start="noised_shot", pick="permute_each_step", anneal_scale=0.05)


def make(source, **changes) -> CRDI:
    values = {
        "source": source,
        "num_steps": 25,
        "guidance_scale": 2.0,
        "t_start": 5,
        "t_end": 20,
        "segments": 15,
        "solver": "closed_form",
        "penalty_weight": 1.0,
        "fresh_noise": True,
        "draws": 4,
        "residual": 0.0,
        "init": "randn",
        "lr": 0.05,
        "epochs": 3,
        "timestep_fraction": 0.8,
        "order": "high_to_low",
        "shared_adam_state": True,
        "sample": SAMPLE,
    }
    return CRDI(**(values | changes))


@pytest.fixture
def shots() -> torch.Tensor:
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(5)) * 1.6 - 0.8


def test_segments_give_the_remainder_to_the_low_noise_end():
    assert [list(r) for r in split_window(5, 12, 3)] == [[5, 6, 7], [8, 9], [10, 11]]
    assert len(split_window(5, 8, 15)) == 3  # never more segments than steps


def test_stratified_steps_take_one_from_each_stratum_and_all_equally_often():
    counts = torch.zeros(20)
    for seed in range(3000):
        picked = stratified_steps(range(5, 15), 0.8, torch.Generator().manual_seed(seed))
        assert len(picked) == 8
        assert picked == sorted(picked)
        for i in picked:
            counts[i] += 1
    assert counts[:5].sum() == counts[15:].sum() == 0
    assert counts[5:15].std() / counts[5:15].mean() < 0.03


def test_optimum_of_a_long_segment_beats_every_neighbour_and_solves_the_normal_equations():
    """Brute force: minimise the enumerated objective of three steps by Newton's method."""
    torch.manual_seed(3)
    gains = [(0.9, 0.18), (1.8, 0.25), (4.0, 0.36)]
    r = [(torch.randn(4, 3, 2, 2).double(), torch.randn(4, 3, 2, 2).double()) for _ in gains]

    def objective(g):
        terms = [
            loss(g, a, b, c0=c0, c1=c1, penalty=0.5)
            for (c0, c1), (a, b) in zip(gains, r, strict=True)
        ]
        return sum(terms) / len(terms)

    g = torch.zeros(4, 3, 2, 2, dtype=torch.float64)
    grad = torch.autograd.functional.jacobian(objective, g).flatten()
    hessian = torch.autograd.functional.hessian(objective, g).reshape(48, 48)
    newton = -torch.linalg.solve(hessian, grad).reshape(g.shape)
    pull = sum(c0 * a + c1 * b for (c0, c1), (a, b) in zip(gains, r, strict=True)) / 3
    weight = sum(c0 * c0 + c1 * c1 for c0, c1 in gains) / 3
    torch.testing.assert_close(optimum(pull, weight, 0.5), newton, rtol=1e-9, atol=1e-9)


def test_penalty_shrinks_deviations_and_leaves_the_mean():
    pull = torch.randn(5, 3, 2, 2)
    free, shrunk = optimum(pull, 0.87, 0.0), optimum(pull, 0.87, 1.0)
    torch.testing.assert_close(free.mean(0), shrunk.mean(0))
    ratio = (shrunk - shrunk.mean(0)) / (free - free.mean(0))
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.87 / 1.87), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("fresh_noise", [True, False])
def test_closed_form_minimises_the_loss_through_the_network(toy_source, shots, fresh_noise):
    """Brute force: every guided step of every noise draw written out, minimised by Newton.

    Where the noise is fresh, the second noise is enumerated as +b, -b: its mean is exactly 0.
    """
    shots, s = shots[:, :, :2, :2], Schedule.respaced(25)
    window = {"t_start": 5, "t_end": 10, "segments": 2, "fresh_noise": fresh_noise, "draws": 4}
    method = make(toy_source, **window)
    found = method.adapt(shots, seed=6, progress=NoProgress()).tensors["sge"].double()

    def pairs(i):
        if not fresh_noise:
            return [(noise_for(shots, 6, "fixed"),) * 2]
        firsts = [sign * noise_for(shots, 6, "draw", i, d) for d in (0, 1) for sign in (1, -1)]
        b = torch.randn(shots.shape)
        return [(z, z_prev) for z in firsts for z_prev in (b, -b)]

    def objective(g, segment):
        terms = []
        for i in segment:
            for z, z_prev in pairs(i):
                x_t = q_sample(shots, s.abar[i], z).double()
                target = q_sample(shots, s.abar_prev(i), z_prev).double()
                x_prev, x0_g = guided_step(toy_source.eps, x_t, i, s, guidance=2.0 * g)
                fit = (shots - x0_g).square().mean() + (target - x_prev).square().mean()
                terms.append(fit + (g - g.mean(0)).square().mean())
        return torch.stack(terms).mean()

    for j, segment in enumerate([range(5, 8), range(8, 10)]):
        g = torch.zeros(shots.shape, dtype=torch.float64)
        grad = torch.autograd.functional.jacobian(lambda g, s=segment: objective(g, s), g)
        hessian = torch.autograd.functional.hessian(lambda g, s=segment: objective(g, s), g)
        newton = -torch.linalg.solve(hessian.reshape(g.numel(), -1), grad.flatten())
        torch.testing.assert_close(found[:, j].flatten(), newton, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("segments", [15, 2])
def test_adam_is_the_official_loop(toy_source, shots, segments):
    """One `torch.optim.Adam` over all SGEs, back-propagating through the guided step."""
    s, seed = Schedule.respaced(25), 2
    method = make(toy_source, solver="adam", segments=segments, epochs=3)
    found = method.adapt(shots, seed=seed, progress=NoProgress()).tensors["sge"]

    sge = noise_for(torch.empty(len(shots), segments, 3, 8, 8), seed, "init").requires_grad_()
    adam = torch.optim.Adam([sge], lr=0.05)
    step = 0
    for j in reversed(range(segments)):
        for _ in range(3):
            adam.zero_grad()
            segment, visits = method.visits(step, seed)
            assert segment == j
            for n, i in enumerate(visits):
                z, z_prev = method.noises(shots, seed, step, n)
                x_t, target = q_sample(shots, s.abar[i], z), q_sample(shots, s.abar[i - 1], z_prev)
                x_prev, x0_g = guided_step(toy_source.eps, x_t, i, s, guidance=2.0 * sge[:, j])
                spread = (sge[:, j] - sge[:, j].mean(0)).square().mean()
                mse = torch.nn.functional.mse_loss
                (mse(x0_g, shots) + mse(x_prev, target) + spread).backward()
            adam.step()
            step += 1
    torch.testing.assert_close(found, sge.detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("segments", [3, 2])
def test_adam_converges_to_the_closed_form(toy_source, shots, segments):
    """One fixed noise makes both objectives deterministic, so the optima must agree."""
    window = {"t_start": 5, "t_end": 8, "segments": segments, "fresh_noise": False}
    window |= {"timestep_fraction": 1.0, "shared_adam_state": False}
    closed = make(toy_source, **window).adapt(shots, seed=0, progress=NoProgress())
    rough = make(toy_source, **window, solver="adam", epochs=400)
    adam = rough.adapt(shots, seed=0, progress=NoProgress())
    gap = (adam.tensors["sge"] - closed.tensors["sge"]).square().mean().sqrt()
    assert gap < 5e-3 * closed.tensors["sge"].square().mean().sqrt() + 1e-3
    few = make(toy_source, **window, solver="adam", epochs=20)
    early = few.adapt(shots, seed=0, progress=NoProgress()).tensors["sge"]
    assert (early - closed.tensors["sge"]).square().mean().sqrt() > 5 * gap


def test_closed_form_has_the_lower_held_out_objective(toy_source, shots):
    closed = make(toy_source, draws=8)
    adam = make(toy_source, solver="adam", epochs=40)

    def held_out(method, sge, j, i):
        total = 0.0
        for d in range(40):
            g = torch.Generator().manual_seed(10_000 + d)
            z, z_prev = torch.randn(2, *shots.shape, generator=g)
            r0, r1 = residuals(
                toy_source.eps, shots, i, Schedule.respaced(25), noise=z, noise_prev=z_prev
            )
            c0, c1 = method.gains(i)
            total += float(loss(sge[:, j], r0, r1, c0=c0, c1=c1, penalty=1.0))
        return total

    a = closed.adapt(shots, seed=0, progress=NoProgress()).tensors["sge"]
    b = adam.adapt(shots, seed=0, progress=NoProgress()).tensors["sge"]
    for j, i in ((0, 5), (7, 12), (14, 19)):
        assert held_out(closed, a, j, i) < held_out(closed, b, j, i)


def test_network_evaluations_are_counted_as_they_happen(toy_source, shots):
    for method in (make(toy_source), make(toy_source, solver="adam", segments=2)):
        toy_source.calls = 0
        state = method.adapt(shots, seed=0, progress=NoProgress())
        assert state.nfe_adapt == toy_source.calls == method.planned_nfe(len(shots))
        toy_source.calls = 0
        method.sampler(state, draw=0)(range(4))
        assert toy_source.calls == 4 * method.nfe_per_image


def test_image_i_depends_on_draw_and_i_only(toy_source, shots):
    method = make(toy_source)
    state = method.adapt(shots, seed=4, progress=NoProgress())
    draw = method.sampler(state, draw=0)
    together = draw([7, 8, 9, 30])
    torch.testing.assert_close(together[1:2], draw([8]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together[3:], draw([30]), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-2)
    other = method.sampler(state, draw=5)([7])
    assert not torch.allclose(together[:1], other, atol=1e-3)


def test_each_pass_uses_every_embedding_once(toy_source):
    for step in (5, 6, 19):
        for pass_ in (0, 3):
            picks = [shot_of("permute_each_step", 0, pass_ * 10 + i, step, 10) for i in range(10)]
            assert sorted(picks) == list(range(10))
    once = {shot_of("permute_once", 0, 4, step, 10) for step in range(5, 20)}
    each = {shot_of("permute_each_step", 0, 4, step, 10) for step in range(5, 20)}
    assert len(once) == 1 < len(each)
    assert shot_of("own", 0, 23, 5, 10) == 3


class Killed(Exception):
    pass


class Interrupted(NoProgress):
    """Keeps every checkpoint and dies after `last` steps."""

    def __init__(self, last: int | None) -> None:
        self.last, self.kept = last, (0, {})

    def save(self, done, tensors):
        self.kept = (done, {k: v.clone() for k, v in tensors.items()})
        if done == self.last:
            raise Killed

    def load(self):
        return self.kept


@pytest.mark.parametrize("solver", ["adam", "closed_form"])
def test_a_killed_adaptation_continues_to_the_same_bytes(toy_source, shots, solver):
    method = make(toy_source, solver=solver)
    whole = method.adapt(shots, seed=1, progress=NoProgress())
    progress = Interrupted(7)
    with pytest.raises(Killed):
        method.adapt(shots, seed=1, progress=progress)
    progress.last = None
    continued = method.adapt(shots, seed=1, progress=progress)
    assert torch.equal(whole.tensors["sge"], continued.tensors["sge"])
    assert whole.nfe_adapt == continued.nfe_adapt


def test_finished_segments_drift_only_under_the_shared_adam_state(toy_source, shots):
    def after(epochs_left, shared):
        method = make(toy_source, solver="adam", segments=2, epochs=5, shared_adam_state=shared)
        progress = Interrupted(5 + epochs_left)
        with pytest.raises(Killed):
            method.adapt(shots, seed=1, progress=progress)
        return progress.kept[1]["sge"][:, 1]  # the noisy segment, fitted first

    assert torch.equal(after(0, False), after(4, False))
    assert not torch.equal(after(0, True), after(4, True))


def test_more_segments_rebuild_the_shots_better(toy_source, shots):
    """With an embedding a step down to the last, images far outside the source come back."""
    narrow = type(toy_source)(spread=0.05)

    def psnr(segments):
        method = make(narrow, t_start=1, segments=segments, penalty_weight=0.0)
        state = method.adapt(shots, seed=0, progress=NoProgress())
        return 10 * math.log10(4 / float((method.reconstruct(state) - shots).square().mean()))

    rigid, middle, free = psnr(19), psnr(8), psnr(1)
    assert rigid > 35
    assert rigid > middle > free


def test_zero_guidance_is_plain_ddim_from_the_noised_shot(toy_source, shots):
    method = make(toy_source, sample=replace(SAMPLE, anneal_scale=0.0))
    state = method.adapt(shots, seed=2, progress=NoProgress())
    zero = replace(state, tensors=state.tensors | {"sge": torch.zeros_like(state.tensors["sge"])})
    s = Schedule.respaced(25)
    z = ImageGenerators(6, [1], "crdi", "sample").randn(3, 8, 8)
    plain = ddim_loop(toy_source.eps, q_sample(shots[1:2], s.abar[19], z), s, start=19)
    torch.testing.assert_close(method.sampler(zero, draw=6)([1]), plain.clamp(-1, 1))


def test_the_perturbation_fades_to_nothing_at_the_end_of_the_window(toy_source, shots):
    one_step = {"t_start": 7, "t_end": 8, "segments": 1}
    state = make(toy_source, **one_step).adapt(shots, seed=0, progress=NoProgress())

    def draw(scale, **window):
        method = make(toy_source, **window, sample=replace(SAMPLE, anneal_scale=scale))
        return method.sampler(state, draw=0)([0, 1])

    assert torch.equal(draw(0.0, **one_step), draw(9.0, **one_step))
    two_steps = one_step | {"t_end": 9}
    assert not torch.equal(draw(0.0, **two_steps), draw(9.0, **two_steps))


def test_sampling_can_start_from_pure_noise(toy_source, shots):
    method = make(toy_source, sample=replace(SAMPLE, start="noise"))
    state = method.adapt(shots, seed=0, progress=NoProgress())
    toy_source.calls = 0
    images = method.sampler(state, draw=0)([0, 1])
    assert toy_source.calls == 2 * method.nfe_per_image == 2 * 25
    assert images.abs().max() <= 1


def test_all_passes_may_start_from_one_noise(toy_source, shots):
    """The official code with random_q_noise=False: only the permutations tell passes apart."""
    s, seen = Schedule.respaced(25), []
    plain = toy_source.eps
    toy_source.eps = lambda x, t: seen.append((t, x.clone())) or plain(x, t)

    def draw(**changes):
        method = make(toy_source, sample=replace(SAMPLE, anneal_scale=0.0, **changes))
        state = method.adapt(shots, seed=2, progress=NoProgress())
        seen.clear()
        return method, method.sampler(state, draw=0)([1, 4, 7])  # shot 1 of three passes

    method, own = draw(start="same_noise", pick="own")
    noised = q_sample(shots, s.abar[19], noise_for(shots, 2, "fixed"))[1]
    assert seen[0][0] == s.t[19] and len(seen) == method.nfe_per_image == 20
    assert all(torch.equal(x, noised) for x in seen[0][1])
    assert torch.equal(own[0], own[1]) and torch.equal(own[0], own[2])
    _, permuted = draw(start="same_noise")
    assert all(torch.equal(x, noised) for x in seen[0][1])
    assert not torch.equal(permuted[0], permuted[1])
    draw(start="noised_shot")
    assert not torch.equal(seen[0][1][0], seen[0][1][1])


class Crossings(TorchDispatchMode):
    """Numbers of values that go from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        moved = isinstance(out, torch.Tensor) and args and isinstance(args[0], torch.Tensor)
        if moved and func is torch.ops.aten._to_copy.default and out.device != args[0].device:
            self.sizes.append(out.numel())
        return out


@pytest.mark.parametrize("scale", [0.05, 0.0])
def test_sampling_stays_on_the_networks_device(toy_source, shots, scale):
    """The device "meta" computes no values, but refuses tensors of another device."""
    state = make(toy_source).adapt(shots, seed=2, progress=NoProgress())
    toy_source.device = "meta"
    draw = make(toy_source, sample=replace(SAMPLE, anneal_scale=scale)).sampler(state, draw=0)
    with Crossings() as crossings, pytest.raises(NotImplementedError, match="out of meta tensor"):
        draw([0, 1, 5, 6])
    start_and_noises = 1 + (15 if scale else 0)
    assert crossings.sizes == [4 * 3 * 8 * 8] * start_and_noises
    assert toy_source.calls == 3 * 15 * 4 + 4 * 20  # and all steps were taken


MAIN_SH = {
    "num_steps": 25, "guidance_scale": 2.0, "t_start": 5, "t_end": 20, "segments": 15,
    "solver": "adam", "penalty_weight": 1.0, "fresh_noise": True, "init": "randn", "lr": 0.05,
    "epochs": 120, "timestep_fraction": 0.8, "order": "high_to_low", "shared_adam_state": True,
    "start": "noised_shot", "pick": "permute_each_step", "anneal_scale": 0.05,
}  # fmt: skip
OFFICIAL_YAML = {
    "t_end": 15, "segments": 1, "fresh_noise": False, "epochs": 50, "start": "same_noise",
    "anneal_scale": 0.2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("crdi_official", {}),
        ("crdi_log", {"anneal_scale": 0.0}),
        ("crdi_yaml", OFFICIAL_YAML),
        ("paper_crdi_log", {"anneal_scale": 0.0}),
        *((f"paper_crdi_{k}shot", {}) for k in (1, 5, 10)),
    ],
)
def test_presets_hold_the_official_run(name, changes):
    config = composed("dataset=babies", f"experiment={name}")
    found = {**config.method, **config.method.sample}
    assert {key: found[key] for key in MAIN_SH} == MAIN_SH | changes
    assert config.method.card.name == "crdi_official" and config.method.card.label == "CRDI"
    assert (config.suite.name, config.protocol.name) == ("paper", "crdi2024")
    assert config.num_images == 5000 and f"_{config.k}shot" in name + "_10shot"
    cluster_size = 100 if name == "crdi_yaml" else 50
    assert config.protocol.metrics.intra_lpips.cluster_size == cluster_size
    # The official code reads the shots with torchvision's default, as its reference is read.
    assert config.dataset.shots_resize == config.protocol.reference_read == "squash_pil_bilinear"


@pytest.mark.parametrize(
    ("method", "label", "solver"),
    [("crdi", "CRDI (closed form)", "closed_form"), ("crdi_official", "CRDI", "adam")],
)
def test_the_solvers_are_rows_of_their_own_with_one_users_settings_for_metfaces(
    method, label, solver
):
    plain = composed(f"method={method}", "dataset=babies").method
    assert (plain.card.label, plain.solver) == (label, solver)
    theirs = composed(f"method={method}", "dataset=babies", "experiment=crdi_metfaces").method
    found = {**theirs, **theirs.sample}
    changes = {"t_end": 15, "segments": 10, "solver": solver}
    assert {key: found[key] for key in MAIN_SH} == MAIN_SH | changes


def test_every_command_on_a_prepared_set_reads_shots_as_the_authors_do():
    """Also the ones without an experiment, such as those that `report table=` prints."""
    words = ["suite=paper", "dataset=babies", "protocol=crdi2024"]
    for method, read in {
        "crdi_official": "squash_pil_bilinear",
        "crdi": "squash_pil_bilinear",
        "domainstudio": "center_halved_bicubic",
        "finetune": "center_halved_bicubic",
        "rs_imle": "squash_pil_bilinear",
        "gan_inversion": None,
    }.items():
        dataset = composed(*words, f"method={method}").dataset
        assert dataset.shots_resize == read and dataset.resize == "squash_pil_bicubic"


@pytest.mark.parametrize(
    "wrong", [{"t_start": 0}, {"t_end": 26}, {"t_start": 9, "t_end": 9}, {"draws": 0}]
)
def test_impossible_settings_are_refused(toy_source, wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        make(toy_source, **wrong)


def test_a_residual_is_noise_of_its_deviation_on_the_optimum(toy_source, shots):
    plain, noisy, other = (
        make(toy_source, residual=r).adapt(shots, seed=s, progress=NoProgress()).tensors["sge"]
        for r, s in ((0.0, 0), (0.3, 0), (0.3, 1))
    )
    noise = noisy - plain
    assert float(noise.std()) == pytest.approx(0.3, rel=0.05) and abs(float(noise.mean())) < 0.02
    assert not torch.equal(noisy, other)
    each = [0.1 * (n + 1) for n in range(len(make(toy_source).windows))]
    noise = make(toy_source, residual=each).adapt(shots, seed=0, progress=NoProgress())
    found = (noise.tensors["sge"] - plain).transpose(0, 1).flatten(1).std(1)
    assert found.tolist() == pytest.approx(each, rel=0.1)
    with pytest.raises(ValueError, match="one for each of .* segments"):
        make(toy_source, residual=[0.1, *each])
    with pytest.raises(ValueError, match="residual=-0.1: give a number of 0 or more"):
        make(toy_source, residual=-0.1)
    with pytest.raises(ValueError, match="residual=0.3: needs solver=closed_form"):
        make(toy_source, residual=0.3, solver="adam")


def test_misspelt_choices_are_refused_with_the_choices(toy_source):
    with pytest.raises(ValueError, match=r"solver='closed'.*closed_form, adam"):
        make(toy_source, solver="closed")
    with pytest.raises(ValueError, match="pick='random'"):
        Sampling(start="noise", pick="random", anneal_scale=0.0)
