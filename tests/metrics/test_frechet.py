import warnings

import numpy as np
import pytest
import scipy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from fsig_bench.metrics.frechet import (
    FrechetInfinity,
    Moments,
    extrapolated,
    factor,
    frechet_distance,
    gaussian_distance,
)


def exact(mean_r, cov_r, mean_f, cov_f):
    tensors = [torch.tensor(a, dtype=torch.float64) for a in (mean_r, cov_r, mean_f, cov_f)]
    names = ("real_mean", "real_cov", "fake_mean", "fake_cov")
    return gaussian_distance(**dict(zip(names, tensors, strict=True)))


EYE, ZERO = np.eye(3), np.zeros(3)


@pytest.mark.parametrize(
    ("value", "args"),
    [
        (9.0, (ZERO, EYE, [1.0, 2.0, 2.0], EYE)),
        (3.0, (ZERO, EYE, ZERO, 4 * EYE)),
        (8 - 4 * 3**0.5, ([0.0, 0], [[2.0, 1], [1, 2]], [0.0, 0], [[2.0, -1], [-1, 2]])),
        (0.3972795044568622, ([0.0, 0], [[2.0, 0], [0, 1]], [0.0, 0], [[2.0, 1], [1, 2]])),
    ],
)
def test_closed_forms(value, args):
    assert exact(*args) == pytest.approx(value, rel=1e-9)


def features(n, d, seed, scale=1.0, shift=0.0):
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(d))
    return (torch.randn(n, d, generator=g) @ mix) * scale + shift


def test_agrees_with_scipy_where_covariances_have_full_rank():
    a, b = features(200, 12, 0), features(150, 12, 1, 1.3, 0.2)
    s, t = np.cov(a.double().T), np.cov(b.double().T)
    m = (a.double().mean(0) - b.double().mean(0)).square().sum()
    expected = float(m) + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert frechet_distance(real=a, fake=b) == pytest.approx(expected, rel=1e-6)


def test_agrees_with_singular_values_where_they_do_not():
    a, b = features(200, 40, 0), features(10, 40, 1, 1.3)
    x, y = (v.double().numpy() - v.double().numpy().mean(0) for v in (a, b))
    x, y = x / np.sqrt(199), y / np.sqrt(9)
    m = float((a.double().mean(0) - b.double().mean(0)).square().sum())
    cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    expected = m + (x**2).sum() + (y**2).sum() - 2 * cross
    assert frechet_distance(real=a, fake=b) == pytest.approx(expected, rel=1e-8)


def test_low_rank_and_full_forms_meet():
    """One duplicated row more or less moves between the forms and hardly the value."""
    a, b = features(60, 20, 0), features(20, 20, 1)
    twice = torch.cat([b, b[:1], b[1:2]])  # 22 rows: the full form, nearly the same set
    low, full = frechet_distance(real=a, fake=b), frechet_distance(real=a, fake=twice)
    assert full == pytest.approx(low, rel=0.2)


def test_moments_add_up_over_shards():
    x = features(101, 6, 3)
    whole = Moments.of(x)
    parts = Moments.of(x[:7]) + Moments.of(x[7:64]) + Moments.of(x[64:])
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(parts.cov, whole.cov, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(whole.cov, torch.cov(x.double().T), rtol=1e-10, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 30), st.integers(2, 12))
def test_identity_symmetry_and_order(seed, n, d):
    a, b = features(n, d, seed), features(n + 3, d, seed + 1, 1.5)
    assert frechet_distance(real=a, fake=a) == pytest.approx(0, abs=1e-6 * float(a.var() * d))
    forward = frechet_distance(real=a, fake=b)
    assert forward == pytest.approx(frechet_distance(real=b, fake=a), rel=1e-6)
    assert forward == pytest.approx(frechet_distance(real=a.flip(0), fake=b), rel=1e-6)


def test_grows_with_the_shift():
    a = features(100, 5, 0)
    d = [frechet_distance(real=a, fake=features(100, 5, 1, shift=s)) for s in (0.0, 1.0, 2.0)]
    assert d[0] < d[1] < d[2]


@pytest.mark.parametrize("role", ["real", "fake"])
def test_bad_features_name_their_role(role):
    good, bad = torch.randn(5, 3), torch.randn(5, 3)
    bad[2, 1] = float("nan")
    sets = {"real": good, "fake": good} | {role: bad}
    with pytest.raises(ValueError, match=role):
        frechet_distance(**sets)
    with pytest.raises(ValueError, match=role):
        frechet_distance(**({"real": good, "fake": good} | {role: good[:1]}))


def test_constant_features_are_a_point():
    a, b = torch.zeros(10, 3), torch.ones(10, 3)
    assert frechet_distance(real=a, fake=b) == pytest.approx(3.0)


def test_a_covariance_that_is_not_definite_has_a_factor_too():
    x = features(9, 12, 0).double()
    cov = Moments.of(x).cov
    torch.testing.assert_close(factor(cov) @ factor(cov).T, cov, rtol=1e-9, atol=1e-9)
    wide = Moments.of(features(40, 12, 0)).cov
    torch.testing.assert_close(factor(wide) @ factor(wide).T, wide, rtol=1e-9, atol=1e-9)


def test_agrees_with_clean_fid_on_the_same_features():
    """Their function on covariances of full rank; SciPy 1.18 took away what it calls."""
    theirs = pytest.importorskip("cleanfid.fid", exc_type=ImportError)
    if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 18):
        pytest.skip("clean-fid calls scipy.linalg.sqrtm(disp=), gone in SciPy 1.18")
    for n, m, d in ((300, 250, 20), (700, 900, 64)):
        a, b = features(n, d, 0), features(m, d, 1, 1.2, 0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs.fid_from_feats(a.double().numpy(), b.double().numpy())
        assert frechet_distance(real=a, fake=b) == pytest.approx(float(expected), rel=1e-6)


def test_every_form_gives_one_value():
    """Moments, features of many, features of few: the same numbers by other ways."""
    a, b = features(30, 12, 0), features(200, 12, 1, 1.3, 0.2)
    one, two = Moments.of(a), Moments.of(b)
    full = gaussian_distance(
        real_mean=one.mean, real_cov=one.cov, fake_mean=two.mean, fake_cov=two.cov
    )
    assert frechet_distance(real=a, fake=b) == pytest.approx(full, rel=1e-9)
    padded = [torch.cat([x, torch.zeros(len(x), 40)], 1) for x in (a, b)]  # 30 rows, 52 dimensions
    assert frechet_distance(real=padded[0], fake=padded[1]) == pytest.approx(full, rel=1e-9)


def test_a_line_in_one_over_n_is_found_exactly():
    sizes = [100, 200, 400, 1000]
    assert extrapolated(sizes, [3 + 50 / n for n in sizes]) == pytest.approx((3, 50))


def test_extrapolation_takes_the_bias_of_few_samples_away():
    """Real and fake from one Gaussian: the truth is 0 but for the reference's own size."""
    a, b = features(20000, 16, 0), features(400, 16, 1)
    raw = frechet_distance(real=a, fake=b)

    class Toy:
        seed = 0

        def features(self, role):
            return {"real": a, "fake": b}[role]

        def counts(self):
            return {}

    result = FrechetInfinity(points=15, smallest=0.1, draws=5)(Toy())
    assert result["rank_warning"] is None and 0 < result["error"]["standard_error"] < raw
    once = FrechetInfinity(points=15, smallest=0.1, draws=1)(Toy())
    assert once["error"] is None and once["value"] != result["value"]
    deficient = FrechetInfinity(points=15, smallest=0.01, draws=5)(Toy())
    assert "biased upwards" in deficient["rank_warning"]
    assert raw > 1 and abs(result["value"]) < 0.35 * raw and result["slope"] > 0
    assert (result["sizes"][0], result["sizes"][-1]) == (40, 400)
