"""Visual recall: each shot next to the samples that come nearest to it.

The figure of RS-IMLE (Vashist et al., ECCV 2024, arXiv:2409.17439): a row without a likeness is a
shot that the method misses, a row of one and the same picture is a copy.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fsig_bench.pictures.grid import labelled_rows

SHOTS = 10  # rows; more would not be looked at


def nearest_samples(distances: Tensor, count: int) -> Tensor:
    """Indices of each shot's nearest samples, nearest first: [n, k] -> [k, count]."""
    return torch.argsort(distances.T, dim=1, stable=True)[:, :count]


def visual_recall(
    path: Path, *, shots: Tensor, fake: Tensor, distances: Tensor, title: str, count: int = 8
) -> None:
    """Writes a row per shot: the shot, then its nearest samples; LPIPS of the first as the label.

    Args:
        path: the PNG.
        shots: uint8 [k, 3, h, w]; the first 10 are shown.
        fake: uint8 [n, 3, h, w].
        distances: LPIPS of sample to shot [n, k].
        title: above the rows.
        count: samples in a row.
    """
    order = nearest_samples(distances, count)
    rows = [
        (f"{float(distances[order[c, 0], c]):.3f}", torch.cat([shots[c : c + 1], fake[order[c]]]))
        for c in range(min(len(shots), SHOTS))
    ]
    labelled_rows(path, rows, title=title, labels=70)
