"""Metrics beside the implementations that people use:  python tests/bench/metrics_speed.py

Prints seconds, the ratio and the difference of values, each pair timed alternately in this process
(best of the repeats). Needs clean-fid, lpips and prdc (the `test` extra); names parts to run only
some: frechet kid lpips prdc.
"""

from __future__ import annotations

import itertools
import resource
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fsig_bench.metrics.frechet import Moments, frechet_distance, gaussian_distance
from fsig_bench.metrics.kernel import mmd2_unbiased
from fsig_bench.metrics.lpips import mean_pairwise
from fsig_bench.metrics.prdc import prdc
from fsig_bench.networks.perceptual import LPIPS

warnings.filterwarnings("ignore")  # theirs


def cloud(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    """Features with a falling spectrum, as those of networks have."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g) * torch.arange(1, d + 1) ** -0.5
    return (x + shift).relu()


def timed(fn: Callable[[], float], best: float) -> tuple[float, float]:
    began = time.perf_counter()
    value = fn()
    return value, min(best, time.perf_counter() - began)


def race(what: str, goal: float, ours: Callable[[], float], theirs: Callable[[], float], n: int):
    mine = other = float("inf")
    for _ in range(n):
        a, mine = timed(ours, mine)
        b, other = timed(theirs, other)
    print(
        f"{what:<50} ours {mine:8.3f} s  theirs {other:8.3f} s  ratio {other / mine:7.1f}"
        f"  (goal {goal:g})  values {a:.6g} and {b:.6g}",
        flush=True,
    )


def frechet() -> None:
    from cleanfid.fid import fid_from_feats
    from cleanfid.fid import frechet_distance as theirs

    real, fake = cloud(5000, 2048, 0), cloud(5000, 2048, 1, 0.01)
    a, b = Moments.of(real), Moments.of(fake)
    sides = {"real_mean": a.mean, "real_cov": a.cov, "fake_mean": b.mean, "fake_cov": b.cov}
    arrays = [x.numpy() for x in sides.values()]
    race(
        "Frechet d=2048, full rank, from moments",
        5,
        lambda: gaussian_distance(**sides),
        lambda: float(theirs(*arrays)),
        2,
    )
    for n, m, goal in ((5000, 5000, 5), (290, 5000, 100), (290, 290, 100)):
        x, y = real[:n], fake[:m]
        race(
            f"Frechet d=2048, {n} real, {m} fake, from features",
            goal,
            lambda x=x, y=y: frechet_distance(real=x, fake=y),
            lambda x=x, y=y: float(fid_from_feats(x.numpy(), y.numpy())),
            2,
        )


def kid() -> None:
    from cleanfid.fid import kernel_distance as theirs

    real, fake = cloud(2500, 2048, 0), cloud(5000, 2048, 1, 0.01)
    race(
        "KID, 2,500 and 5,000 x 2048 (theirs: subsets)",
        3,
        lambda: mmd2_unbiased(real=real, fake=fake),
        lambda: float(theirs(real.numpy(), fake.numpy())),
        2,
    )


def lpips() -> None:
    import lpips as package

    ours = LPIPS(net="vgg", weights=None, seed=0, side=None, device="cpu")
    with torch.no_grad():
        theirs = package.LPIPS(net="vgg", pnet_rand=True, verbose=False)
        own = ours._trunk.state_dict()
        for key, value in theirs.net.state_dict().items():
            value.copy_(own[key.split(".", 1)[1]])
    count, pairs_timed = 50, 24
    images = torch.rand(count, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pairs = list(itertools.combinations(range(count), 2))

    @torch.no_grad()
    def gram() -> float:
        return mean_pairwise(torch.cat([ours.perceive(part) for part in images.split(10)]))

    @torch.no_grad()
    def loop() -> float:
        values = [
            float(theirs(images[i : i + 1], images[j : j + 1])) for i, j in pairs[:pairs_timed]
        ]
        return float(np.mean(values))

    value, mine = timed(gram, float("inf"))
    some, other = timed(loop, float("inf"))
    whole = other / pairs_timed * len(pairs)
    print(
        f"{'Intra-LPIPS, one cluster of 50, VGG, 256 px':<50} ours {mine:8.3f} s  theirs "
        f"{whole:8.3f} s (of {pairs_timed} pairs)  ratio {whole / mine:7.1f}  (goal 15)  "
        f"values {value:.6g} and {some:.6g} (first pairs)",
        flush=True,
    )


def neighbours() -> None:
    from prdc import compute_prdc as theirs

    for n in (2500, 5000):
        real, fake = cloud(n, 2048, 0), cloud(n, 2048, 1, 0.01)
        race(
            f"PRDC, {n:,} and {n:,} x 2048",
            1,
            lambda a=real, b=fake: prdc(real=a, fake=b, k=5)["coverage"],
            lambda a=real, b=fake: theirs(a.numpy(), b.numpy(), 5)["coverage"],
            1,
        )


def memory() -> None:
    real, fake = cloud(5000, 2048, 0), cloud(5000, 2048, 1, 0.01)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    prdc(real=real, fake=fake, k=5)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(f"PRDC, 5,000 x 5,000 x 2048: {extra:.2f} GiB above the features (goal 1)", flush=True)


PARTS = {"memory": memory, "frechet": frechet, "kid": kid, "lpips": lpips, "prdc": neighbours}

if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, part in PARTS.items():
        if name in (sys.argv[1:] or PARTS):
            part()
