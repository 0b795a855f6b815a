"""D2C-style conditioning on a backend whose prior is known exactly: a mixture in the plane."""

import dataclasses
import json
import math

import pytest
import torch

from baselines.common.autoencoder import (
    Autoencoder,
    AutoencoderSizes,
    load_autoencoder,
    mixture_mean,
    mixture_nll,
    save_autoencoder,
)
from baselines.common.diffusion import Schedule, ddim_loop, linear_abar
from baselines.d2c import D2C, Estimator, Sampling
from baselines.d2c.estimator import Score, auc, discriminant, elkan_noto, temperature
from baselines.d2c.selection import doubts, fitted_notes
from baselines.pretrain.autoencoder import Augmentation, blurred, moco_loss, turned
from fsig_bench.api.images import to_uint8
from fsig_bench.api.types import NoProgress

SHARE, CENTRES, SPREAD = 0.2, torch.tensor([[-1.0, 0.0], [1.5, 0.5]]), 0.3


class Plane:
    """Prior 0.8 N(a, s^2) + 0.2 N(b, s^2), its score in closed form; pictures of one pixel whose
    red and green are the coordinates divided by 4."""

    shape = (2, 1, 1)
    digest = "plane"

    def encode(self, x):
        return 4 * x[:, :2]

    def decode(self, z):
        return torch.cat([z / 4, torch.zeros_like(z[:, :1])], 1)

    def eps(self, x, t):
        a = float(linear_abar()[t])
        flat = x.flatten(1)
        gap = flat[:, None] - a**0.5 * CENTRES
        var = a * SPREAD**2 + 1 - a
        logits = torch.tensor([1 - SHARE, SHARE]).log() - gap.square().sum(2) / (2 * var)
        score = -(logits.softmax(1)[:, :, None] * gap).sum(1) / var
        return (-((1 - a) ** 0.5) * score).view_as(x)

    def schedule(self, num_steps):
        return Schedule.respaced(num_steps)

    def denoise(self, noise, num_steps):
        return ddim_loop(self.eps, noise, Schedule.respaced(num_steps), clamp=False)

    def denoise_from(self, z, noise, alpha, num_steps):
        schedule = Schedule.respaced(num_steps)
        start = min(range(num_steps), key=lambda i: abs(schedule.abar[i] - alpha))
        a = schedule.abar[start]
        x = a**0.5 * z + (1 - a) ** 0.5 * noise
        return ddim_loop(self.eps, x, schedule, start=start, clamp=False)


def exact(n, share, seed=0):
    """Direct draws of the mixture [n, 2, 1, 1], `share` of them from the second centre."""
    g = torch.Generator().manual_seed(seed)
    second = (torch.rand(n, generator=g) < share).long()
    return (CENTRES[second] + SPREAD * torch.randn(n, 2, generator=g))[:, :, None, None]


class SourceImages:
    def load(self, indices):
        return to_uint8(Plane().decode(exact(len(indices), SHARE, 5)))


def lda(**changes):
    values = {"kind": "lda", "directions": 2, "shrink": 0.1, "c": 1.0}
    return Estimator(**(values | {"calibrate": True, "elkan_noto": False} | changes))


def sampling(kind, **changes):
    values = {"budget": 40, "threshold": 0.5, "edit_step": 1.0, "edit_alpha": 0.9, "share": False}
    return Sampling(kind=kind, **(values | changes))


def method(kind="accept_prob", **changes):
    values = {
        "backend": Plane(),
        "source_images": SourceImages(),
        "num_steps": 40,
        "estimator": lda(directions=2, shrink=0.0),
        "mirror": False,
        "unlabelled": "prior",
        "unlabelled_count": 400,
        "held_out_count": 400,
        "bank_seed": 0,
        "ratio_quantile": 0.999,
        "decode_batch": 100,
        "sample": sampling(kind),
    }
    return D2C(**(values | changes))


def second_share(z):
    """Share of points nearer to the second centre."""
    gap = (z.flatten(1)[:, None] - CENTRES).square().sum(2)
    return float((gap[:, 1] < gap[:, 0]).double().mean())


SHOTS = Plane().decode(exact(10, 1.0, 3))


def test_the_toy_prior_is_the_mixture():
    z = method("naive").proposals(0, range(600), "test")
    assert second_share(z) == pytest.approx(SHARE, abs=0.05)
    assert float(z.flatten(1)[:, 0].std()) == pytest.approx(
        math.sqrt(SPREAD**2 + SHARE * (1 - SHARE) * 2.5**2), abs=0.15
    )


@pytest.mark.parametrize("kind", ["accept_prob", "accept_prob_thresh", "ratio", "sir", "topk"])
def test_every_rule_picks_the_shots_mode(kind):
    m = method(kind)
    state = m.adapt(SHOTS, seed=0, progress=NoProgress())
    # Accepting with r itself softens the target: see the docstring of the package.
    least = 3 * SHARE if kind == "accept_prob" else 0.95
    assert second_share(m.select(state, 0, range(60))) > least
    assert state.meta["leave_one_out_auc"] > 0.85
    assert abs(state.meta["encoder_probe_auc"] - 0.5) < 0.1


def given(logit_slope, bias, kind, log_bound=0.0):
    """A state whose classifier is given: logit = slope * x + bias on the first coordinate."""
    m = method(kind)
    state = m.adapt(SHOTS, seed=0, progress=NoProgress())
    score = Score(
        torch.zeros(2),
        torch.eye(2),
        torch.tensor([logit_slope, 0.0]),
        torch.tensor(bias),
        torch.ones(()),
    )
    tensors = {f"score/{k}": v for k, v in vars(score).items()} | {"shots": Plane().encode(SHOTS)}
    meta = state.meta | {"log_ratio_bound": log_bound}
    return m, dataclasses.replace(state, tensors=tensors, meta=meta), score


def test_acceptance_by_probability_gives_the_prior_times_r():
    m, state, score = given(1.0, 0.0, "accept_prob")
    z = m.select(state, 0, range(1500)).flatten(1)
    prior = exact(200_000, SHARE, 1).flatten(1)
    weight = score(prior[:, :, None, None]).sigmoid()[:, None]
    want = (prior * weight).sum(0) / weight.sum()
    torch.testing.assert_close(z.mean(0), want, atol=0.08, rtol=0)
    spread = ((prior - want).square() * weight).sum(0) / weight.sum()
    torch.testing.assert_close(z.var(0), spread, atol=0.15, rtol=0)


def test_acceptance_by_ratio_gives_the_target():
    """rho = p_T / p with p_T the second component: exp of a known logit, bounded by 1 / share."""
    a, b = CENTRES
    m = method("ratio")
    state = m.adapt(SHOTS, seed=0, progress=NoProgress())

    class Exact(D2C):
        @staticmethod
        def score(state):
            def logit(z):
                x = z.flatten(1)
                gap = [-(x - c).square().sum(1) / (2 * SPREAD**2) for c in (a, b)]
                mix = torch.stack(
                    [gap[0] + math.log(1 - SHARE), gap[1] + math.log(SHARE)]
                ).logsumexp(0)
                return gap[1] - mix

            return logit

    exact_m = Exact(**{f.name: getattr(m, f.name) for f in dataclasses.fields(m)})
    state = dataclasses.replace(state, meta=state.meta | {"log_ratio_bound": math.log(1 / SHARE)})
    z = exact_m.select(state, 0, range(500)).flatten(1)
    torch.testing.assert_close(z.mean(0), b, atol=0.06, rtol=0)
    torch.testing.assert_close(z.std(0), torch.tensor([SPREAD, SPREAD]), atol=0.05, rtol=0)


def test_when_nothing_is_accepted_the_run_says_so():
    far = SHOTS[:6] + 10
    m = method()
    strict = dataclasses.replace(
        m,
        estimator=dataclasses.replace(m.estimator, calibrate=False),
        sample=dataclasses.replace(m.sample, budget=3),
    )
    state = strict.adapt(far, seed=0, progress=NoProgress())
    said = strict.notes(state)
    assert said["acceptance_rate"] < 0.01
    assert said["fallback"] == "topk" and "hardly reaches" in said["warning"]
    assert torch.isfinite(strict.sampler(state, draw=0)(range(5))).all()
    easy = method().adapt(SHOTS, seed=0, progress=NoProgress())
    assert not {"fallback", "warning"} & set(method().notes(easy))


def test_runs_that_share_a_classifier_say_what_is_true_of_their_own_selection():
    m = method("accept_prob", sample=sampling("accept_prob", budget=3))
    state = m.adapt(SHOTS[:6] + 10, seed=0, progress=NoProgress())
    kinds = ("accept_prob", "topk", "naive", "edit")
    said = {k: method(k, sample=sampling(k, budget=3)).notes(state) for k in kinds}
    assert "fallback" in said["accept_prob"]
    for kind in kinds[1:]:
        assert not {"fallback", "acceptance_rate", "warning"} & set(said[kind])
    nfe = {k: v["nfe_per_image"] for k, v in said.items()}
    assert nfe["naive"] == 40 and nfe["topk"] == 120 and 40 < nfe["accept_prob"] <= 120
    # 40 steps are t = 0, 26, 51, 77, 102, ...: alpha 0.9 is nearest to t = 102, five to go.
    assert nfe["edit"] == method("edit").nfe_per_image == 45
    # A state that an earlier version left under another setting.
    old = {k: v for k, v in state.tensors.items() if k != "held_logits"}
    old = dataclasses.replace(state, tensors=old, meta=said["accept_prob"])
    assert method("naive").notes(old) == said["naive"]
    assert m.notes(old) == said["accept_prob"]


def test_the_bank_is_made_only_once_the_backend_has_been_tried():
    class Wrong(Plane):
        def check(self, images):
            assert images.shape == (400, 3, 1, 1)
            raise ValueError("spread")

        def denoise(self, noise, num_steps):
            pytest.fail("long work before the check")

    with pytest.raises(ValueError, match="spread"):
        method(backend=Wrong()).adapt(SHOTS, seed=0, progress=NoProgress())


def test_doubts_name_their_numbers():
    fine = {"latent_sd_ratio": 1.1, "encoder_probe_auc": 0.55}
    how = {"kind": "accept_prob", "unlabelled": "prior"}
    assert doubts(fine, **how) == []
    assert "5.49 times" in doubts(fine | {"latent_sd_ratio": 5.49}, **how)[0]
    told = fine | {"encoder_probe_auc": 0.71}
    assert "AUC 0.71" in doubts(told, **how)[0]
    assert not doubts(told, **(how | {"kind": "naive"}))
    assert not doubts(told, **(how | {"unlabelled": "encoded"}))


def test_batches_that_do_not_fit_are_halved():
    asked = []

    class Small(Plane):
        def denoise(self, noise, num_steps):
            asked.append(len(noise))
            if len(noise) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().denoise(noise, num_steps)

    z = method(backend=Small()).proposals(0, range(7), "test")
    torch.testing.assert_close(z, method().proposals(0, range(7), "test"))
    assert asked == [7, 3, 1, 2, 4, 2, 2]


def test_effective_sample_share_of_a_flat_classifier_is_one():
    m = method()
    flat = Score(torch.zeros(2), torch.eye(2), torch.zeros(2), torch.tensor(0.0), torch.ones(()))
    x = exact(200, SHARE).flatten(1)
    said = fitted_notes(flat(x), 0.5, 0.0, x, exact(200, SHARE, 1).flatten(1))
    assert said["effective_sample_share"] == 1
    assert m.sample.rate(flat, flat(x), 0.0, 0) == pytest.approx(0.5, abs=0.08)


def test_the_bank_is_shared_between_runs_and_continues_after_a_kill():
    m = method()

    class Kept(NoProgress):
        made, left = {}, 3

        def shared(self, key, compute):
            if str(key) not in self.made:
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt
                self.made[str(key)] = compute()
            return self.made[str(key)]

    kept = Kept()
    with pytest.raises(KeyboardInterrupt):
        m.adapt(SHOTS, seed=0, progress=kept)
    assert len(kept.made) == 2
    kept.left = 100
    again = m.adapt(SHOTS, seed=0, progress=kept)
    whole = m.adapt(SHOTS, seed=1, progress=NoProgress())
    assert all(torch.equal(again.tensors[k], whole.tensors[k]) for k in whole.tensors)
    assert len(kept.made) == 8  # 400 and 400 proposals by the hundred
    other = method(num_steps=20)  # what it is keyed by matters
    other.adapt(SHOTS, seed=0, progress=kept)
    assert len(kept.made) == 16


def test_editing_moves_towards_the_shots():
    m = method("edit")
    state = m.adapt(SHOTS, seed=0, progress=NoProgress())
    plain = method("naive").select(state, 0, range(100))
    assert second_share(m.edit(state, 0, range(100))) > second_share(plain) + 0.3


def test_noising_and_denoising_returns_draws_of_the_prior():
    z, g = exact(800, SHARE, 2), torch.Generator().manual_seed(0)
    back = Plane().denoise_from(z, torch.randn(z.shape, generator=g), 0.7, 60)
    assert second_share(back) == pytest.approx(second_share(z), abs=0.03)
    torch.testing.assert_close(back.flatten(1).std(0), z.flatten(1).std(0), atol=0.08, rtol=0)


@pytest.mark.parametrize(
    ("alpha", "t"), [(0.97, 50), (0.9, 97), (0.8, 144), (0.7, 184), (0.65, 202)]
)
def test_noise_levels_of_the_paper(alpha, t):
    assert abs(int((linear_abar() - alpha).abs().argmin()) - t) <= 1


# the estimator


def test_discriminant_is_the_log_ratio_of_two_normals():
    g = torch.Generator().manual_seed(0)
    cov = torch.tensor([[1.0, 0.6], [0.6, 0.8]])
    root, shift = torch.linalg.cholesky(cov), torch.tensor([0.7, -0.4])
    x, y = (torch.randn(100_000, 2, generator=g) @ root.T for _ in range(2))
    w, b = discriminant(x + shift, y, 0.0)
    want = torch.linalg.solve(cov, shift)
    torch.testing.assert_close(w, want, atol=0.03, rtol=0)
    assert float(b) == pytest.approx(float(-want @ shift / 2), abs=0.03)


def test_both_kinds_agree_on_an_easy_problem():
    g = torch.Generator().manual_seed(0)
    u, held = torch.randn(300, 4, generator=g), torch.randn(300, 4, generator=g)
    p = torch.randn(10, 1, 4, generator=g) + 2
    fits = [lda(kind=k, directions=4, c=0.1).fit(p, u, held) for k in ("lda", "logreg")]
    directions = [s.direction() / s.direction().norm() for s, _ in fits]
    assert float(directions[0] @ directions[1]) > 0.95
    assert all(quality > 0.95 for _, quality in fits)


def test_mirror_images_leave_together():
    """A shot whose mirror image stays in the training fold would score itself."""
    g = torch.Generator().manual_seed(0)
    e, u, held = 60, torch.randn(900, 60, generator=g), torch.randn(300, 60, generator=g)
    p = torch.randn(10, 1, e, generator=g).expand(10, 2, e)
    honest = lda(directions=60, calibrate=False)
    assert honest.fit(p, u, held)[1] < 0.75
    split = p.reshape(20, 1, e)  # the same points as 20 shots: each has its twin in the fold
    assert honest.fit(split, u, held)[1] > 0.9


def test_elkan_noto_recovers_a_known_posterior():
    """Positives N(5, 1), negatives N(-1, 1), half and half; 30 % of the positives are labelled."""
    g, share = torch.Generator().manual_seed(0), 0.3

    def truth(x):  # log ratio of the two normals
        return torch.sigmoid(6 * x - 12)

    positives = 5 + torch.randn(200_000, generator=g)
    ceiling = (share * truth(positives)).mean()  # labelled: share * truth, all a classifier can see
    assert float(ceiling) == pytest.approx(share, rel=1e-2)
    x = torch.linspace(-3, 7, 101)
    torch.testing.assert_close(elkan_noto(share * truth(x), ceiling), truth(x), atol=0.01, rtol=0)
    assert float(elkan_noto(torch.tensor(0.9), torch.tensor(0.3))) == 1


def test_the_correction_raises_acceptance():
    g = torch.Generator().manual_seed(0)
    u, held = torch.randn(300, 4, generator=g), torch.randn(300, 4, generator=g)
    p = torch.randn(10, 1, 4, generator=g) + 1
    kinds = [lda(directions=4, elkan_noto=e) for e in (False, True)]
    plain, corrected = (k.fit(p, u, held)[0] for k in kinds)
    assert float(plain.ceiling) == 1 and 0 < float(corrected.ceiling) < 1
    logit = plain(held)
    assert (corrected.probability(logit) > plain.probability(logit)).all()


def test_auc_and_temperature_by_hand():
    assert auc(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0])) == 0.875
    g = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, generator=g)
    # N(1, 1) against N(0, 1): the log ratio is x - 1/2; tenfold logits need temperature 10.
    assert temperature(10 * (x + 0.5), 10 * (x - 0.5)) == pytest.approx(10, rel=0.1)


# the autoencoder

SIZES = AutoencoderSizes(
    resolution=16,
    patch=2,
    residual=1.0,
    widths=[8, 16, 16],
    encoder_cells=[0, 1, 1],
    decoder_cells=[0, 1, 1],
    latent_channels=4,
    expand=2,
    mixtures=2,
)


def test_latents_have_the_stated_shape_and_survive_the_file(tmp_path):
    net = Autoencoder(SIZES).eval()
    x = torch.rand(3, 3, 16, 16) * 2 - 1
    z = net.encode(x)
    assert z.shape == (3, 4, 2, 2) and SIZES.latent_side == 2
    assert net.decode(z).shape == x.shape and net.decode(z).abs().max() <= 1
    extra = {"latent.mean": torch.arange(4.0), "latent.sd": torch.ones(4)}
    save_autoencoder(tmp_path / "a.safetensors", net, extra)
    again, back = load_autoencoder(tmp_path / "a.safetensors", ("latent.mean", "latent.sd"))
    torch.testing.assert_close(again.encode(x), z, atol=0.02, rtol=0.02)
    assert torch.equal(back["latent.mean"], extra["latent.mean"])


@pytest.mark.parametrize("components", [1, 2])
def test_mixture_is_a_distribution_over_the_256_levels(components):
    """The sum over all colours is 1; reds are narrow, so that a few of them hold all the mass."""
    g = torch.Generator().manual_seed(components)
    p = torch.randn(1, 10 * components, 1, 1, generator=g).double()
    mean, log_scale, _ = p[0, components:].view(3, 3, components).unbind(0)
    mean[0], log_scale[0] = 0.2, -7  # red: within 0.01 of 0.2, and the edges are not touched
    log_scale[1:] = torch.tensor([-1.0, 0.5])[:, None]  # green, blue: wide, beyond both edges
    levels = torch.arange(256).double() / 127.5 - 1
    pairs = torch.cartesian_prod(levels, levels)
    total = 0.0
    for red in levels[(levels - 0.2).abs() < 0.03]:
        x = torch.cat([red.expand(len(pairs), 1), pairs], 1)[:, :, None, None]
        total += float((-mixture_nll(p.expand(len(x), -1, -1, -1), x)).exp().sum())
    assert total == pytest.approx(1, abs=1e-4)


def test_moco_loss_by_hand():
    q = torch.tensor([[1.0, 0.0]])
    value = moco_loss(q, q, torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), 1.0)
    want = -math.log(math.e / (math.e + 1 + math.exp(-1)))
    assert float(value) == pytest.approx(want, rel=1e-6)


def test_views_stay_pictures_and_without_randomness_are_the_picture():
    x = ((torch.rand(4, 3, 16, 16) * 255).round()) / 127.5 - 1
    still = Augmentation(min_scale=1.0, jitter=0.0, grey=0.0, flip=0.0, hue=0.1, blur=0.0)
    g = torch.Generator().manual_seed(0)
    view = Augmentation(min_scale=0.3, jitter=1.0, grey=0.5, flip=0.5, hue=0.1, blur=0.5)(x, g)
    assert view.shape == x.shape and view.abs().max() <= 1
    levels = (view + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert not torch.allclose(view, x)
    assert still(x, g).shape == x.shape


def test_turning_the_hue_and_blurring_by_hand():
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    third = turned(x, torch.full((2,), 1 / 3))  # red becomes green, green blue, blue red
    torch.testing.assert_close(third, x[:, [2, 0, 1]], atol=1e-5, rtol=0)
    torch.testing.assert_close(turned(x, torch.tensor([0.0, 1.0])), x, atol=1e-5, rtol=0)
    dot = torch.zeros(2, 1, 15, 15)
    dot[:, :, 7, 7] = 1
    soft = blurred(dot, torch.tensor([0.1, 1.0]))
    torch.testing.assert_close(soft[:1], dot[:1], atol=1e-6, rtol=0)
    offset = torch.arange(15) - 7.0
    variance = float((soft[1, 0].sum(0) * offset**2).sum())
    assert float(soft[1].sum()) == pytest.approx(1) and variance == pytest.approx(1, abs=0.01)


def test_mean_image_weights_the_components():
    p = torch.zeros(1, 20, 1, 1)
    p[0, :2, 0, 0] = torch.tensor([0.25, 0.75]).log()
    means = p[:, 2:].view(1, 3, 3, 2, 1, 1)[:, 0]
    means[0, :, :, 0, 0] = torch.tensor([[-1.0, 1.0], [0.0, 0.4], [0.8, 0.0]])
    torch.testing.assert_close(
        mixture_mean(p).flatten(), torch.tensor([0.5, 0.3, 0.2]), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("kind", ["accept_prob", "ratio", "sir", "topk", "naive", "edit"])
def test_shared_proposals_change_nothing_and_are_drawn_once_for_all_targets(kind):
    kept, drawn = {}, []

    class Counted(Plane):
        def denoise(self, noise, num_steps):
            drawn.append(len(noise))
            return super().denoise(noise, num_steps)

    def shared(key, compute):
        name = json.dumps(key)
        kept[name] = kept[name] if name in kept else compute()
        return kept[name]

    own = method(kind)
    other = own.encode(Plane().decode(exact(10, 0.0, 4)))  # shots of the other mode
    first = own.adapt(SHOTS, seed=3, progress=NoProgress())
    second = own.adapt(Plane().decode(other), seed=3, progress=NoProgress())
    sharing = method(kind, backend=Counted(), sample=sampling(kind, share=True))
    for state in (first, second):
        images = sharing.sharing_sampler(state, draw=0, shared=shared)(range(5, 25))
        assert torch.allclose(images, own.sampler(state, draw=0)(range(5, 25)), atol=1e-5)
        sharing.sharing_sampler(state, draw=0, shared=shared)(range(5, 25))
    assert set(drawn) == {20} and len(drawn) == len(kept) <= sharing.sample.budget
    moved = sharing.sharing_sampler(first, draw=4, shared=shared)(range(5, 25))
    assert not torch.equal(moved, images)
