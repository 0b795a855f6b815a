"""Packages of the registry, where they are installed: features, distances, shares, a test."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np
import torch
from parity.lpips_pair import asset, our_lpips, random_trunk
from parity.rows import Row, compare
from parity.stand_in import enliven, pictures
from torch import Tensor

from fsig_bench.metrics.clipped import Balls
from fsig_bench.metrics.frechet import frechet_distance
from fsig_bench.metrics.kernel import mmd2_unbiased
from fsig_bench.metrics.kernels import Gaussian, mean_within, mmd2_to
from fsig_bench.metrics.permutation import TwoSampleTest, p_value
from fsig_bench.metrics.prdc import prdc
from fsig_bench.networks.inception import Inception, fid_inception
from fsig_bench.networks.resize import resize

NAMES = (
    *("pytorch-fid", "torch-fidelity", "clean-fid", "lpips", "prdc"),
    *("seqme", "clip-mmd", "hyppo"),
)


def versions() -> str:
    """The packages that are installed, with versions."""
    found = [n for n in NAMES if find_spec(n.replace("-", "_").replace("clean_", "clean"))]
    return ", ".join(f"{name} {version(name)}" for name in found)


def inception(tensors: dict[str, Tensor], **values: Any) -> Inception:
    weights = asset("fid.pth", tensors)
    return Inception(name="x", variant="fid", weights=weights, device="cpu", **values)


def random_inception() -> dict[str, Tensor]:
    net = fid_inception()
    enliven(net, 0, size=1.4)
    return net.state_dict()


def features() -> Iterator[Row]:
    """The network of both packages with one set of random weights, small and large images."""
    state = random_inception()
    small, large = pictures(2, 64, 1), pictures(1, 320, 2)
    if find_spec("pytorch_fid"):
        module = importlib.import_module("pytorch_fid.inception")
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            with mock.patch.object(module, "load_state_dict_from_url", lambda *a, **k: state):
                official = module.InceptionV3().eval()
            ours = inception(state, resize="torch_bilinear", scale="unit")
            gaps = {
                f"{x.shape[-1]} px": (official(x.float() / 255)[0].flatten(1), ours.features(x))
                for x in (small, large)
            }
        yield compare("Inception features, pytorch-fid, fp32", gaps, most=5e-6)
    if find_spec("torch_fidelity"):
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
        torch.save(state, "fid.pth")
        official = module.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path="fid.pth"
        ).eval()
        # TensorFlow's bilinear resize is its own: 299 px need none.
        x = pictures(2, 299, 3)
        ours = inception(state, resize="torch_bilinear", scale="tensorflow")
        with torch.no_grad():
            pair = (official(x)[0], ours.features(x))
        yield compare("Inception features, torch-fidelity, 299 px, fp32", pair, most=5e-6)


def cloud(count: int, seed: int, shift: float = 0.0) -> Tensor:
    """Features [n, 24] that are no round cloud."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(count, 24, generator=g, dtype=torch.float64)
    return torch.nn.functional.softplus(noise @ mix) + shift


def distances() -> Iterator[Row]:
    """The arithmetic behind features: Frechet and kernel distances."""
    a, b = cloud(120, 1), cloud(90, 2, 0.2)
    moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (a.numpy(), b.numpy())]
    ours = frechet_distance(real=a, fake=b)
    if find_spec("pytorch_fid"):
        score = importlib.import_module("pytorch_fid.fid_score")
        theirs = score.calculate_frechet_distance(*moments[0], *moments[1])
        yield compare("Frechet distance, pytorch-fid", (theirs, ours), most=1e-11)
    if find_spec("cleanfid"):
        fid = importlib.import_module("cleanfid.fid")
        theirs = fid.frechet_distance(*moments[0], *moments[1])
        yield compare("Frechet distance, clean-fid", (theirs, ours), most=1e-11)
        # One subset of 90, which upstream draws from its second set and then from its first.
        np.random.seed(5)
        whole = fid.kernel_distance(b.numpy(), a.numpy(), num_subsets=1, max_subset_size=90)
        np.random.seed(5)
        y = a[np.random.choice(120, 90, replace=False)]
        x = b[np.random.choice(90, 90, replace=False)]
        pair = (whole, mmd2_unbiased(real=x, fake=y))
        yield compare("kernel distance (KID), clean-fid", pair, most=1e-11)
    if find_spec("torch_fidelity"):
        fid = importlib.import_module("torch_fidelity.metric_fid")
        own = [{"mu": m, "sigma": c} for m, c in moments]
        theirs = fid.fid_statistics_to_metric(*own, verbose=False)
        pair = (theirs["frechet_inception_distance"], ours)
        yield compare("Frechet distance, torch-fidelity", pair, most=1e-11)
        kid = importlib.import_module("torch_fidelity.metric_kid")
        theirs = kid.kid_features_to_metric(
            a[:90], b, kid_subsets=1, kid_subset_size=90, verbose=False
        )
        pair = (theirs["kernel_inception_distance_mean"], mmd2_unbiased(real=a[:90], fake=b))
        yield compare("kernel distance (KID), torch-fidelity", pair, most=1e-11)
    if find_spec("prdc"):
        theirs = importlib.import_module("prdc").compute_prdc(a.numpy(), b.numpy(), nearest_k=5)
        found = prdc(real=a, fake=b, k=5, ties="outside")
        gaps = {name: (theirs[name], found[name]) for name in theirs}
        yield compare("precision, recall, density, coverage, prdc", gaps, most=1e-12)


def normal(count: int, features: int, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, features, generator=g, dtype=torch.float64)


def shares() -> Iterator[Row]:
    """Clipped density and coverage of samples that are shifted, wider, and more alike."""
    if not find_spec("seqme"):
        return
    module = importlib.import_module("seqme.metrics.clipped_density_coverage")
    kinds = {
        "clipped_density": module.ClippedDensity,
        "clipped_coverage": module.ClippedCoverage,
    }
    real = normal(400, 8, 0)
    gaps: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in kinds}
    for case, scale, shift in (("shifted", 1.0, 2.0), ("wider", 1.3, 1.0), ("alike", 0.7, 1.0)):
        fake = normal(300, 8, 1) * scale
        fake[:, 0] += shift
        ours = Balls.around(real, 5).values(fake)
        rows = {"real": real.numpy(), "fake": fake.numpy()}
        for name, kind in kinds.items():
            official = kind(5, ["real"], lambda s, rows=rows: rows[s[0]], strict=False)(["fake"])
            gaps[name][case] = (float(official.value), ours[name])
    note = "upstream adds in single precision"
    yield compare("clipped density, 3 sets, seqme", gaps["clipped_density"], most=1e-7, note=note)
    note = "upstream rounds up to a multiple of 1/300, since it has 300 samples"
    most = 1 / 300
    yield compare("clipped coverage, 3 sets, seqme", gaps["clipped_coverage"], most=most, note=note)


def kernel_tests() -> Iterator[Row]:
    """The kernel distance at CMMD's width, and the p-value of its permutation test."""
    if find_spec("clip_mmd"):
        module = importlib.import_module("clip_mmd.calculation")
        x, y = (torch.nn.functional.normalize(normal(n, 32, n), dim=1) for n in (70, 60))
        kernel = Gaussian(width=10.0).fitted(x)
        # Upstream counts each image's kernel value with itself, which is 1.
        bias = sum((1 - mean_within(z, kernel)) / len(z) for z in (x, y))
        pair = (module.mmd(x, y), 1000 * (mmd2_to(x, kernel)(y) + bias))
        note = "ours plus what upstream's biased form adds"
        yield compare("CMMD, clip-mmd", pair, most=1e-9, note=note)
    if find_spec("hyppo"):
        x, y = normal(60, 5, 0), normal(50, 5, 1) + 0.3
        rule = TwoSampleTest(kernel=Gaussian(width=0.4**-0.5), permutations=1999, images=100)
        np.random.seed(0)
        official = importlib.import_module("hyppo.ksample").MMD(compute_kernel="rbf", gamma=0.2)
        found = official.test(x.numpy(), y.numpy(), reps=1999, auto=False, random_state=0)
        pair = (found[1], p_value(*rule.statistics(x, y, 0)))
        # Four standard deviations of the difference of two such shares near 0.05.
        note = "each side draws 1,999 permutations of its own"
        yield compare("p-value of the kernel test, hyppo", pair, most=0.028, note=note)


def resizing() -> Iterator[Row]:
    if not find_spec("cleanfid"):
        return
    build = importlib.import_module("cleanfid.resize").build_resizer
    gaps = {}
    for mode, recipe in (("clean", "pil_bicubic"), ("legacy_pytorch", "torch_bilinear")):
        for side in (64, 512):
            x = pictures(1, side, side)
            theirs = build(mode)(x[0].permute(1, 2, 0).numpy())
            ours = resize(x, side=299, recipe=recipe)[0].permute(1, 2, 0)
            gaps[f"{mode}, {side} px"] = (theirs, ours)
    yield compare("resize to 299 px, 2 modes, clean-fid", gaps, most=0)


def perceptual() -> Iterator[Row]:
    if not find_spec("lpips"):
        return
    import lpips

    gaps = {}
    x, y = (pictures(3, 64, seed).float() / 127.5 - 1 for seed in (1, 2))
    for net in ("vgg", "alex", "squeeze"):
        with random_trunk(net) as trunk, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            official = lpips.LPIPS(net=net).eval()
            ours = our_lpips(net, trunk)
            own = (ours.perceive(x) - ours.perceive(y)).square().sum(1)
            gaps[net] = (official(x, y).flatten(), own)
    note = "random trunks, the package's own channel weights"
    yield compare("LPIPS: vgg, alex, squeeze, fp32", gaps, most=2e-7, note=note)


CASES = [features, distances, shares, kernel_tests, resizing, perceptual]
