"""Is the instrument finer than what it measures?  python -m tools.instrument

Compares, in the factor reader's features: samples of every source model with real source images,
two sets of real source images at the same n (the floor), and the source domain with every target.
Writes the figures into the weights' manifest and the pictures of README and docs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from rich.table import Table
from torch import Tensor

from baselines.common.autoencoder import load_autoencoder
from fsig_bench.api.images import to_float, to_uint8
from fsig_bench.api.plain import JsonDict
from fsig_bench.api.weights import locate
from fsig_bench.console import console
from fsig_bench.faceworld.domains import DOMAINS
from fsig_bench.faceworld.reader import FactorReader
from fsig_bench.faceworld.render import render
from fsig_bench.faceworld.train_reader import held_out_quality
from fsig_bench.metrics.frechet import frechet_distance
from fsig_bench.metrics.psnr import psnr
from fsig_bench.pictures.grid import labelled_rows
from fsig_bench.runner.adapt import adapt
from fsig_bench.runner.build import build_method
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.compose import compose_config
from fsig_bench.runner.device import resolve_device
from fsig_bench.runner.resolve import resolve
from fsig_bench.runner.sample import sample
from fsig_bench.runner.score import build_networks
from fsig_bench.store.store import Store
from tools.fidelity import describe, measure_edges

N, N_REF = 2000, 2500
SHEET, COLUMNS = 200, 20  # images on a contact sheet, and in its row
NEAR = ("babies", "sunglasses", "sketches", "metfaces")
# A source model alone, as a run of the harness; where its settings name its weights.
SOURCES = {
    "diffusion": (["method=source"], ("source",)),
    "GAN": (
        ["method=gan_inversion", "method.sample.kind=prior", "method.projector.steps=1", "k=1"],
        ("generator",),
    ),
    "latent prior": (
        ["method=d2c_prior", "method.unlabelled_count=200", "method.held_out_count=200", "k=100"],
        ("backend", "prior"),
    ),
}


def weights_of(cell: Cell, place: tuple[str, ...]) -> str:
    """The weight file that a method's settings name under `place`."""
    settings = cell.method.spec
    for part in place:
        settings = settings[part]
    return str(settings["weights"])


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """To four decimals."""
    return {name: round(value, 4) for name, value in figures.items()}


def _note(weights: str, quality: JsonDict) -> None:
    """Adds quality figures to a weight file's manifest entry."""
    file = locate(weights)
    manifest = file.parent / "manifest.json"
    entries = json.loads(manifest.read_text())
    entries[file.name]["quality"] = quality
    manifest.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")


def rebuild_adults(autoencoder: Path, n: int) -> tuple[Tensor, Tensor]:
    """Held-out `adults`, and what an autoencoder makes of them, both uint8 [n, 3, 64, 64]."""
    net = load_autoencoder(autoencoder, ("latent.mean", "latent.sd"))[0]
    true = render("adults", "held_out", range(n))[0]
    with torch.no_grad():
        fake = to_uint8(torch.cat([net.decode(net.encode(to_float(x))) for x in true.split(50)]))
    return true, fake


def source_samples(words: list[str], results_dir: str, n: int = N) -> tuple[Tensor, Cell]:
    """N samples of a source model through the harness, and its cell."""
    fixed = ["dataset=adults", f"num_images={n}", f"results_dir={results_dir}"]
    job = resolve(compose_config([*words, *fixed]))
    store, method = Store(results_dir), build_method(job.method, job.place)
    state = adapt(job, method, store)[0]
    return sample(job, method, state, store)[0], job


def main() -> None:
    """Prints the table and writes manifest and pictures."""
    drawn = {name: source_samples(words, "results") for name, (words, _) in SOURCES.items()}
    job = drawn["diffusion"][1]
    extractor = build_networks(job.protocol, resolve_device(job.place.device))[0]

    assert isinstance(extractor, FactorReader)

    def features(images: Tensor) -> Tensor:
        return torch.cat([extractor.features(part) for part in images.split(100)])

    def real(domain: str, split: str, n: int) -> Tensor:
        return features(render(domain, split, range(n))[0])

    adults = real("adults", "reference", N_REF)

    def distance(fake: Tensor) -> float:
        return round(frechet_distance(real=adults, fake=fake), 4)

    models = {name: distance(features(fake)) for name, (fake, _) in drawn.items()}
    floor = distance(real("adults", "fresh", N))
    targets = {d: distance(real(d, "reference", N)) for d in DOMAINS if d != "adults"}
    nearest = min(targets[d] for d in NEAR)
    table = Table(title=f"Frechet distance to adults (n={N_REF}), {extractor.name}")
    table.add_column("set")
    table.add_column("FD", justify="right")
    table.add_column("of the nearest target's", justify="right")
    table.add_row(f"adults again, {N} images (floor)", f"{floor:.2f}", f"{floor / nearest:.3f}")
    for name, value in (models | targets).items():
        table.add_row(name, f"{value:.2f}", f"{value / nearest:.3f}")
    console.print(table)
    of_real = rounded(describe(render("adults", "reference", range(N))[0], extractor))
    for name, (_, place) in SOURCES.items():
        quality = {
            "fd_to_adults": models[name],
            "fd_floor": floor,
            "fd_targets": targets,
            "fd_over_nearest_target": round(models[name] / nearest, 4),
            "n_fake": N,
            "n_real": N_REF,
        }
        fake, cell = drawn[name]
        own = {"fidelity": rounded(describe(fake, extractor)), "fidelity_of_real": of_real}
        _note(weights_of(cell, place), quality | own)
    autoencoder = weights_of(drawn["latent prior"][1], ("backend", "autoencoder"))
    true, rebuilt = rebuild_adults(locate(autoencoder), N)
    decibels = float(psnr(real=true, fake=rebuilt).mean())
    edges = measure_edges(rebuilt) / measure_edges(true)
    seen = rounded({"psnr_db_adults": decibels, "edges_over_real": edges}) | {"n": N}
    console.print(f"autoencoder: {seen}")
    _note(autoencoder, seen)
    reader = held_out_quality(extractor)
    console.print(f"reader: domain accuracy {reader['domain_accuracy']}, R2 per visible factor:")
    worst_first = sorted(reader["r2"].items(), key=lambda p: p[1])
    console.print("  " + "  ".join(f"{k} {v:.3f}" for k, v in worst_first))
    _note(job.protocol.features["weights"], reader)
    pictures({name: fake for name, (fake, _) in drawn.items()}, Path("docs"))


def write_sheet(images: Tensor, path: Path) -> None:
    """A WebP of unselected images uint8 [n, 3, h, w], 20 in a row, of whole rows only."""
    n, w = len(images), images.shape[3]
    tiles = images[: n - n % COLUMNS].unflatten(0, (-1, COLUMNS))
    sheet = tiles.permute(0, 3, 1, 4, 2).reshape(-1, COLUMNS * w, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.numpy()).save(path, quality=90, method=6)


def pictures(fakes: dict[str, Tensor], folder: Path) -> None:
    """All domains, and unselected samples of the source models: nine of each, and 200."""
    shown = {"real": render("adults", "held_out", range(SHEET))[0]}
    shown |= {name: fake[:SHEET] for name, fake in fakes.items()}
    for name, images in shown.items():
        write_sheet(images, folder / "sheets" / f"{name.lower().replace(' ', '_')}.webp")
    rows = [(name, render(name, "held_out", range(9))[0]) for name in DOMAINS]
    labelled_rows(folder / "faceworld.png", rows, title="")
    rows = [(name, images[:9]) for name, images in shown.items()]
    labelled_rows(folder / "source_models.png", rows, title="")


if __name__ == "__main__":
    main()
