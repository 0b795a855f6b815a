"""Is the instrument finer than what it measures?  python -m fsig_bench.instrument

Compares, in the factor reader's features: samples of the source model with real source images, two
sets of real source images at the same n (the floor), and the source with every target. Writes the
figures into the weights' manifest and the two pictures of the README.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from rich.table import Table
from torch import Tensor

from fsig_bench.assets import ROOT, locate
from fsig_bench.console import console
from fsig_bench.faceworld.domains import DOMAIN_NAMES, DOMAINS
from fsig_bench.faceworld.render import render
from fsig_bench.faceworld.train_reader import held_out_quality
from fsig_bench.figures.grid import labelled_rows
from fsig_bench.metrics.frechet import frechet_distance
from fsig_bench.runner import adapt, build_extractor, build_method, sample
from fsig_bench.settings import cell
from fsig_bench.store import Store

N, N_REF = 2000, 2500
NEAR = ("babies", "sunglasses", "sketches", "metfaces")


def _note(weights: str, quality: dict[str, Any]) -> None:
    """Adds quality figures to a weight file's manifest entry."""
    file = locate(weights)
    manifest = file.parent / "manifest.json"
    entries = json.loads(manifest.read_text())
    entries[file.name]["quality"] = quality
    manifest.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")


def source_samples(results_dir: str) -> tuple[Tensor, Any, dict[str, Any]]:
    """N samples of the source model through the harness, the extractor, the config."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        words = ["method=source", "dataset=adults", f"num_images={N}", f"results_dir={results_dir}"]
        job = cell(compose("config", words))
    store, method = Store(results_dir), build_method(job)
    images, _ = sample(job, method, adapt(job, method, store)[0], store)
    return images, build_extractor(job.config), job.config


def main() -> None:
    """Prints the table and writes manifest and pictures."""
    fake, extractor, config = source_samples("results")

    def features(images: Tensor) -> Tensor:
        return torch.cat([extractor.features(part) for part in images.split(100)])

    def real(domain: str, split: str, n: int) -> Tensor:
        return features(render(domain, split, range(n))[0])

    adults = real("adults", "reference", N_REF)
    rows = {
        f"source model, {N} samples": frechet_distance(real=adults, fake=features(fake)),
        f"adults again, {N} images (floor)": frechet_distance(
            real=adults, fake=real("adults", "fresh", N)
        ),
    }
    targets = {
        d: frechet_distance(real=adults, fake=real(d, "reference", N))
        for d in DOMAIN_NAMES
        if d != "adults"
    }
    table = Table(title=f"Frechet distance to adults (n={N_REF}), {extractor.name}")
    table.add_column("set")
    table.add_column("FD", justify="right")
    for name, value in (rows | targets).items():
        table.add_row(name, f"{value:.3f}")
    nearest = min(targets[d] for d in NEAR)
    fd, floor = rows.values()
    console.print(table)
    console.print(f"source / nearest target = {fd / nearest:.3f} (at most 0.2 wanted)")
    quality = {
        "fd_to_adults": round(fd, 4),
        "fd_floor": round(floor, 4),
        "fd_targets": {d: round(v, 4) for d, v in targets.items()},
        "fd_over_nearest_target": round(fd / nearest, 4),
        "n_fake": N,
        "n_real": N_REF,
        "num_steps": config["method"]["num_steps"],
    }
    _note(config["method"]["source"]["weights"], quality)
    reader = held_out_quality(extractor)
    console.print(f"reader: domain accuracy {reader['domain_accuracy']}, R2 per visible factor:")
    console.print(
        "  "
        + "  ".join(f"{k} {v:.3f}" for k, v in sorted(reader["r2"].items(), key=lambda p: p[1]))
    )
    _note(config["suite"]["extractor"]["weights"], reader)
    pictures(fake, Path("docs"))


def pictures(fake: Tensor, folder: Path) -> None:
    """The contact sheet of all domains, and unselected samples of the source model."""
    rows = [(name, render(name, "held_out", range(9))[0]) for name in DOMAINS]
    labelled_rows(folder / "faceworld.png", rows, title="")
    split = fake[:40].split(10)
    labelled_rows(folder / "source_samples.png", [("", part) for part in split], title="", labels=0)


if __name__ == "__main__":
    main()
