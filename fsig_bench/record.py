"""The record of a finished run: everything that a table or a reader needs, as plain JSON."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fsig_bench import __version__
from fsig_bench.assets import ROOT, manifest_entry, sha256_of
from fsig_bench.settings import Cell
from fsig_bench.store import Store
from fsig_bench.types import State

PACKAGES = ("torch", "diffusers", "hydra-core", "omegaconf", "numpy", "scipy", "scikit-learn")

NO_PLACE = (
    "results_dir",
    "device",
    "batch_size",
    "workers",
    "checkpoint_s",
    "tracker",
    "png",
    "preflight",
    "on_busy",
    "on_failed",
    "dry_run",
)


def kept_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's settings without those that say only where and how fast it ran."""
    return {k: v for k, v in config.items() if k not in NO_PLACE}


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Suite, method, dataset, k, seed, subset, protocol: what a run is called by."""
    return {
        "suite": config["suite"]["name"],
        "method": config["method"]["card"]["name"],
        "dataset": config["dataset"]["name"],
        "k": config["k"],
        "seed": config["seed"],
        "subset": config["subset"],
        "protocol": config["protocol"]["name"],
    }


def environment() -> dict[str, Any]:
    """Code, library versions and machine."""
    import torch

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    return {
        "fsig_bench": __version__,
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
    }


def make_record(
    cell: Cell,
    *,
    state: State,
    notes: Mapping[str, Any],
    nfe_per_image: float,
    metrics: Mapping[str, Any],
    timing_s: Mapping[str, float],
    peak_mem_gib: float,
    pixels: str,
    pictures: Mapping[str, str],
    reconstruction: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """All fields of record.json; `results/README.md` says what each means."""
    config = cell.config
    return {
        "record_version": 2,  # since 2: sealed
        "run_id": cell.run_id,
        **identity(config),
        "num_images": config["num_images"],
        "protocol_hash": cell.protocol_hash,
        "metrics": metrics,
        "reconstruction": reconstruction,
        "timing_s": {k: round(v, 3) for k, v in timing_s.items()},
        "peak_mem_gib": round(peak_mem_gib, 3),
        "nfe_per_image": nfe_per_image,
        "nfe_adapt": state.nfe_adapt,
        "trained_params": state.trained_params,
        "notes": dict(notes),
        "pixels_sha256": pixels,
        "shots": cell.dataset.shot_names(config["k"], config["subset"]),
        "pictures": pictures,
        "stages": {"adapt": cell.adapt_key[:16], "sample": cell.sample_key[:16]},
        "weights": {p: manifest_entry(p)["sha256"] for p in cell.weights},
        "assets": {
            a.file: {"sha256": sha256_of(a.get()), "licence": a.licence} for a in cell.assets
        },
        "config": kept_settings(config),
        "environment": environment(),
    }


def write_pictures(folder: Path, cell: Cell, evidence: Any, store: Store) -> dict[str, str]:
    """Samples, each shot's nearest samples and the t-SNE plot (CRDI's figure 4)."""
    from hydra.utils import instantiate

    from fsig_bench.figures.grid import sample_grid
    from fsig_bench.figures.nearest import visual_recall
    from fsig_bench.figures.tsne import NAMES, tsne_coordinates, tsne_figure

    config = cell.config
    card, name = config["method"]["card"], config["dataset"]["name"]
    what = f"{card['label']} on {name}, {config['k']} shots, seed {config['seed']}"
    sample_grid(
        folder / "samples.png", shots=evidence.shots, samples=evidence.fake[:60], title=what
    )
    visual_recall(
        folder / "nearest.png",
        shots=evidence.shots,
        fake=evidence.fake,
        distances=evidence.shot_distances("fake"),
        title=f"Each shot, LPIPS to its nearest sample, nearest samples: {what}",
    )
    features = {"shots": evidence.features("shots"), "generated": evidence.features("fake")}
    limit = config["figures"]["tsne_points"]
    if source := config["suite"].get("source_images"):
        pixels = instantiate(source, _convert_="all").load(range(limit))
        features["source"] = evidence.extractor.features(pixels)
    if evidence.real is not None:
        features["target"] = evidence.features("real")
    arrays = {role: f.numpy() for role, f in features.items()}
    kind = config["figures"]["embedding"]
    coordinates = tsne_coordinates(arrays, seed=config["seed"], limit=limit, kind=kind)
    tsne_figure(folder / "tsne.png", coordinates, title=f"{NAMES[kind]}: {what}", kind=kind)
    return {"samples": "samples.png", "nearest": "nearest.png", "tsne": "tsne.png"}
