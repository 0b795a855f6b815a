"""The t-SNE plot of CRDI's figure 4: shots, source, target and generated in joint coordinates.

van der Maaten & Hinton, JMLR 2008. All roles are embedded together, so their distances can be read
against each other; the axes have no unit. `figures.embedding` puts PCA or UMAP (McInnes et al.,
arXiv:1802.03426) in its place.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fsig_bench.api.files import write_whole
from fsig_bench.pictures.colours import INK, ROLE_COLOURS

Points = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
NAMES = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP"}
ORDER = ("source", "target", "generated", "shots")  # later ones are drawn on top


@dataclass(frozen=True, kw_only=True)
class RolePoints:
    """Where the images of a role lie, and which images they are."""

    index: Rows  # [n], ascending: the image's place among those of its role
    xy: Points  # [n, 2], without a unit


def chosen_rows(sizes: Mapping[str, int], *, seed: int, limit: int) -> dict[str, Rows]:
    """Which of `sizes` rows of each role the plot shows, ascending; at most `limit` a role."""
    rng = np.random.default_rng(seed)
    return {
        role: np.arange(sizes[role])
        if sizes[role] <= limit
        else np.sort(rng.choice(sizes[role], limit, replace=False))
        for role in ORDER
        if role in sizes
    }


def check_embedding(kind: str) -> None:
    """Raises ValueError where `figures.embedding` is unknown or its package is not installed."""
    if kind not in NAMES:
        raise ValueError(f"figures.embedding={kind}: choose one of {', '.join(NAMES)}")
    if kind == "umap" and find_spec("umap") is None:
        raise ValueError("figures.embedding=umap needs umap-learn: pip install 'fsig-bench[umap]'")


def embedded(x: Points, kind: str, seed: int) -> Points:
    """Rows [n, d] in the plane, [n, 2]."""
    if kind == "umap":
        from umap import UMAP

        near = min(15, len(x) - 1)
        out: Points = UMAP(n_neighbors=near, random_state=seed, n_jobs=1).fit_transform(x)
        return out
    from sklearn.decomposition import PCA

    x = PCA(min(2 if kind == "pca" else 50, *x.shape), random_state=seed).fit_transform(x)
    if kind == "pca":
        return np.pad(x, ((0, 0), (0, 2 - x.shape[1])))
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max(2.0, (len(x) - 1) / 4))
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=seed, n_jobs=1)
    flat: Points = tsne.fit_transform(x)
    return flat


def tsne_coordinates(
    features: Mapping[str, npt.NDArray[np.float32]], *, seed: int, limit: int, kind: str = "tsne"
) -> dict[str, RolePoints]:
    """Joint coordinates by role from features [n, d]; at most `limit` points a role.

    Raises:
        ValueError: a chosen feature is NaN or infinite.
    """
    rows = chosen_rows({r: len(x) for r, x in features.items()}, seed=seed, limit=limit)
    chosen = {r: np.asarray(features[r], dtype=np.float64)[of] for r, of in rows.items()}
    joint = np.concatenate(list(chosen.values()))
    if not np.isfinite(joint).all():
        raise ValueError("features for the t-SNE plot hold NaN or infinity")
    flat = embedded(joint, kind, seed)
    edges = np.cumsum([len(x) for x in chosen.values()])[:-1]
    parts = zip(chosen, np.split(flat, edges), strict=True)
    return {role: RolePoints(index=rows[role], xy=xy) for role, xy in parts}


def tsne_figure(
    path: Path, coordinates: Mapping[str, RolePoints], *, title: str, kind: str = "tsne"
) -> None:
    """Writes the plot as PNG and a CSV next to it: role, index of the image, x, y."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.6), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for role in (r for r in ORDER if r in coordinates):
        x, y = coordinates[role].xy.T
        if role == "shots":
            style: dict[str, Any] = {
                "marker": "*",
                "s": 190,
                "edgecolors": INK,
                "linewidths": 0.9,
                "zorder": 5,
            }
        else:
            size = {"generated": 15, "target": 13, "source": 11}[role]
            style = {"marker": "o", "s": size, "linewidths": 0, "alpha": 0.75}
        label = f"{role} (n={len(x)})"
        axes.scatter(x, y, c=ROLE_COLOURS[role], label=label, **style)
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_color("#bbbbbb")
    axes.set_title(title, fontsize=11, loc="left", color=INK)
    note = f"joint {NAMES[kind]} of features; axes have no unit"
    axes.set_xlabel(note, fontsize=8, color="#555555")
    legend = axes.legend(loc="best", fontsize=9, framealpha=0.9, edgecolor="#dddddd")
    legend.set_zorder(6)
    write_whole(path, lambda p: figure.savefig(p, format="png"))

    def write_csv(p: Path) -> None:
        with p.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["role", "index", "x", "y"])
            for role, points in coordinates.items():
                for index, (x, y) in zip(points.index, points.xy, strict=True):
                    out.writerow([role, int(index), f"{x:.4f}", f"{y:.4f}"])

    write_whole(path.with_suffix(".csv"), write_csv)
