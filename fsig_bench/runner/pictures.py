"""The pictures of one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.runner.cell import Cell
from fsig_bench.store.store import Store

if TYPE_CHECKING:
    from fsig_bench.metrics.base import Evidence


def write_pictures(folder: Path, cell: Cell, evidence: Evidence, store: Store) -> dict[str, str]:
    """Samples, each shot's nearest samples and the t-SNE plot (CRDI's figure 4)."""
    from hydra.utils import instantiate

    from fsig_bench.pictures.grid import sample_grid
    from fsig_bench.pictures.nearest import visual_recall
    from fsig_bench.pictures.tsne import NAMES, tsne_coordinates, tsne_figure
    from fsig_bench.runner.score import kept_features

    method, policy = cell.method, cell.policy
    what = f"{method.label} on {cell.dataset.name}, {cell.shots.k} shots, seed {cell.seed}"
    what += f", draw {cell.draw}" if cell.draw else ""
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
    limit = policy.tsne_points
    if source := cell.suite.source_images:
        pixels = instantiate(source, _convert_="all").load(range(limit))
        features["source"] = kept_features(
            pixels, evidence.extractor, cell, store, policy=cell.precision.score
        )
    if evidence.real is not None:
        features["target"] = evidence.features("real")
    arrays = {role: f.numpy() for role, f in features.items()}
    kind = policy.embedding
    coordinates = tsne_coordinates(arrays, seed=cell.seed, limit=limit, kind=kind)
    tsne_figure(folder / "tsne.png", coordinates, title=f"{NAMES[kind]}: {what}", kind=kind)
    return {"samples": "samples.png", "nearest": "nearest.png", "tsne": "tsne.png"}
