"""Which near-copies of the shots count as copies?  python tests/bench/copy_truth.py [--real 1000]

Takes a hundred shots of babies and makes near-copies of graded distance: the same factors with
normal jitter (a share of each factor's range) and new textures, grain, JPEG, and crops that are
enlarged again. Prints, as Markdown, the share that conf/metric/copy_rate.yaml's threshold counts,
for several numbers of shots: the mean over disjoint groups of shots. Below it stands what a
quantile of the distances to the nearest shot would count, the rule before protocol version 4.
"""

from __future__ import annotations

import argparse
import io
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from torch import Tensor

from fsig_bench.api import ROOT, generator
from fsig_bench.faceworld.domains import DOMAINS, draw
from fsig_bench.faceworld.factors import FACTORS, SCALE
from fsig_bench.faceworld.reader import FactorReader
from fsig_bench.faceworld.render import CHUNK, paint_factors, render
from fsig_bench.metrics.lpips import squared_distances
from fsig_bench.metrics.memorisation import copy_threshold

DOMAIN, SHOTS = "babies", 100
NEAREST = 0.01  # the quantile of the rule before


def jittered(size: float) -> Tensor:
    """The shots with jittered factors and new textures."""
    table, texture, _ = draw(DOMAIN, "shots", range(SHOTS))
    low, high = torch.tensor([SCALE[name] for name in FACTORS]).T
    g = generator(0, "jitter", str(size))
    factors = torch.from_numpy(table)
    moved = factors + size * (high - low) * torch.randn(factors.shape, generator=g)
    moved = torch.minimum(torch.maximum(moved, low), high).float()
    textures, kind = torch.rand(texture.shape, generator=g), DOMAINS[DOMAIN]
    parts = zip(moved.split(CHUNK), textures.split(CHUNK), strict=True)
    return torch.cat(
        [paint_factors(f, t, creature=kind.creature, medium=kind.medium) for f, t in parts]
    )


def grained(shots: Tensor, spread: float) -> Tensor:
    """Normal noise of so many grey levels."""
    noise = torch.randn(shots.shape, generator=generator(0, "grain", str(spread)))
    return (shots + spread * noise).round().clamp(0, 255).byte()


def compressed(shots: Tensor, quality: int) -> Tensor:
    """Through JPEG."""
    found = []
    for shot in shots:
        file = io.BytesIO()
        Image.fromarray(shot.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
        found.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    return torch.stack(found)


def cropped(shots: Tensor, pixels: int) -> Tensor:
    """Without so many rows on top and columns on the left, enlarged to the old size."""
    part = shots[:, :, pixels:, pixels:].float()
    return F.interpolate(part, shots.shape[-1], mode="bilinear").round().byte()


def near_copies(shots: Tensor) -> dict[str, Tensor]:
    """Each kind of near-copy of every shot, and fresh images."""
    found = {f"jitter {size:g}": jittered(size) for size in (0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)}
    found |= {f"grain {spread}": grained(shots, spread) for spread in (4, 8, 16, 32)}
    found |= {f"JPEG {quality}": compressed(shots, quality) for quality in (90, 50, 20, 10)}
    found |= {f"crop {pixels}": cropped(shots, pixels) for pixels in (1, 2, 4)}
    found |= {"mirrored": shots.flip(3)}
    return found | {"fresh": render(DOMAIN, "fresh", range(SHOTS))[0]}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=int, default=1000)
    args = parser.parse_args()
    weights = str(ROOT / "baselines/weights/mini/reader.safetensors")
    reader = FactorReader(weights=weights, trunk_maps=4)
    quantile = yaml.safe_load((ROOT / "conf/metric/copy_rate.yaml").read_text())["quantile"]

    def rows(images: Tensor) -> Tensor:
        return torch.cat([reader.perceive(part / 127.5 - 1) for part in images.split(50)])

    shots = render(DOMAIN, "shots", range(SHOTS))[0]
    z = rows(shots)
    real = render(DOMAIN, "reference", range(args.real))[0]
    apart = torch.cat([squared_distances(rows(part), z) for part in real.split(100)])
    copies = {name: squared_distances(rows(x), z) for name, x in near_copies(shots).items()}
    groups = {k: [list(range(i, i + k)) for i in range(0, SHOTS, k)] for k in (1, 5, 10, 25, 100)}
    own = {name: f"{float(d.diagonal().median()):.2f}" for name, d in copies.items()}
    head = " | ".join(f"k = {k}" for k in groups)
    print(f"| near-copy | LPIPS | {head} |\n|---|--:|{'--:|' * len(groups)}")
    rules = {
        "pairs": lambda d: copy_threshold(d, quantile),
        "nearest shot": lambda d: float(d.min(1).values.quantile(NEAREST)),
    }
    for rule, threshold in rules.items():
        limits = {k: [threshold(apart[:, g]) for g in own] for k, own in groups.items()}
        shown = " | ".join(f"{fmean(limits[k]):.2f}" for k in groups)
        print(f"| *threshold by {rule}* | | {shown} |")
        for name, distances in copies.items():
            shares = []
            for k, of_shots in groups.items():
                hits = [
                    float((distances[g][:, g].min(1).values <= limit).double().mean())
                    for g, limit in zip(of_shots, limits[k], strict=True)
                ]
                shares.append(f"{fmean(hits):.2f}")
            print(f"| {name} | {own[name]} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
