"""How good is a source model of the mini suite?

    python tests/bench/source_models.py diffusion FILE [--n 2000] [--work DIR] [--sheet WEBP]
    python tests/bench/source_models.py diffusion FILE --words method.num_steps=25
    python tests/bench/source_models.py gan FILE
    python tests/bench/source_models.py prior FILE --autoencoder FILE
    python tests/bench/source_models.py autoencoder FILE [--n 500]

Of samples (a diffusion model's as the control `source` draws them): the Frechet distance to
`adults`, the Nyquist ratio, the grain of flat patches, the share of strong edges, the rendering
residual; for the diffusion model also the cost of a forward. For an autoencoder, on held-out
`adults`: decibels, and the same figures of what it rebuilds. Real images' own figures stand beside
them. FILE is one that `python -m baselines.pretrain` wrote, with its manifest. With `--work`, a
results folder, samples are kept and a stopped run continues; `--sheet` shows 200 unselected images,
100 of them real. `--words` are further words of the run that draws the samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from baselines.common.unet import PixelUNet, load_unet
from fsig_bench.api import ROOT
from fsig_bench.faceworld.reader import FactorReader
from fsig_bench.faceworld.render import render
from fsig_bench.metrics.frechet import frechet_distance
from fsig_bench.metrics.psnr import psnr
from tools.fidelity import describe
from tools.instrument import SOURCES, rebuild_adults, source_samples, write_sheet

N_REAL = 2500
KINDS = {"diffusion": "diffusion", "gan": "GAN", "prior": "latent prior"}  # as tools.instrument has


def count_gflop(net: PixelUNet) -> float:
    """Floating-point operations of one forward of one image, in 10^9."""
    side = net.resolution
    with FlopCounterMode(display=False) as counter:
        net.eps(torch.zeros(1, 3, side, side), 500)
    return counter.get_total_flops() / 1e9


def samples_of(
    kind: str, file: Path, autoencoder: Path | None, words: Sequence[str], *, n: int, work: str
) -> Tensor:
    """uint8 [n, 3, 64, 64] of a source model, as the harness draws it and keeps it in `work`."""
    places: dict[str, dict[str, Path | None]] = {
        "diffusion": {"suite.source.weights": file},
        "GAN": {"suite.generator.weights": file},
        "latent prior": {
            "suite.latent_backend.prior.weights": file,
            "suite.latent_backend.autoencoder.weights": autoencoder,
        },
    }
    own = [f"{key}='{path.resolve()}'" for key, path in places[kind].items() if path]
    return source_samples([*SOURCES[kind][0], *own, *words], work, n)[0]


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=[*KINDS, "autoencoder"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--autoencoder", type=Path, help="the one that a prior belongs to")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--words", nargs="*", default=[])
    args = parser.parse_args()
    if args.kind == "prior" and args.autoencoder is None:
        parser.error("a prior needs --autoencoder FILE")
    weights = "baselines/weights/mini/reader.safetensors"
    reader = FactorReader(weights=str(ROOT / weights), trunk_maps=4)
    found: dict[str, float] = {"n": args.n}
    if args.kind == "autoencoder":
        true, fake = rebuild_adults(args.file, args.n)
        found["psnr_db"] = float(psnr(real=true, fake=fake).mean())
    else:
        if args.kind == "diffusion":
            found["gflop"] = count_gflop(load_unet(args.file))
        kind = KINDS[args.kind]
        with TemporaryDirectory() as folder:
            work = args.work or folder
            own = kind, args.file, args.autoencoder, args.words
            fake = samples_of(*own, n=args.n, work=str(work))
    real = render("adults", "reference", range(N_REAL))[0]
    features = [torch.cat([reader.features(x) for x in s.split(100)]) for s in (real, fake)]
    found["fd"] = frechet_distance(real=features[0], fake=features[1])
    of_real = describe(real[: args.n], reader)
    for name, value in describe(fake, reader).items():
        found |= {name: value, f"{name}_of_real": of_real[name]}
    print(json.dumps({k: round(v, 4) for k, v in found.items()}))
    if args.sheet:
        write_sheet(torch.cat([fake[:100], real[:100]]), args.sheet)


if __name__ == "__main__":
    main()
