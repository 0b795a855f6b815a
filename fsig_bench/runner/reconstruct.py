"""Can a method rebuild the shots? Errors per shot, over the method's own sweep.

The sweep stands in the method's card (for CRDI: eta = 1, 8, 15, as in the paper's figure 1), so
this file knows no method.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Any

from fsig_bench.api.images import to_uint8
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.keys import content
from fsig_bench.store.keys import digest
from fsig_bench.store.store import Store


def with_settings(cell: Cell, settings: Mapping[str, Any]) -> Cell:
    """The same cell with other method settings ("a" or "a.b"): other stages, same shots."""
    config = copy.deepcopy(cell.config)
    for key, value in settings.items():
        *path, last = key.split(".")
        reduce(getitem, path, config["method"])[last] = value
    adapting = content({k: v for k, v in config["method"].items() if k != "sample"})
    adapt_key = digest(["reconstruct", cell.adapt_key, adapting])
    if adapting == content({k: v for k, v in cell.config["method"].items() if k != "sample"}):
        adapt_key = cell.adapt_key
    return Cell(
        config=config,
        dataset=cell.dataset,
        adapt_key=adapt_key,
        sample_key=cell.sample_key,
        run_id=cell.run_id,
    )


def reconstruct(cell: Cell, store: Store, evidence: Any) -> dict[str, Any]:
    """Per sweep value and shot: PSNR (dB) and perceptual distance; writes the panel."""
    from fsig_bench.metrics.lpips import paired_distances
    from fsig_bench.metrics.psnr import psnr
    from fsig_bench.pictures.reconstruction import reconstruction_panel
    from fsig_bench.runner.adapt import adapt
    from fsig_bench.runner.build import build_method

    shots = cell.dataset.shots(cell.config["k"], cell.config["subset"])
    plan = [("rebuilt", cell)]
    if sweep := cell.config["method"]["card"].get("reconstruct_sweep"):
        plan = [
            (
                sweep["label"].format(v),
                with_settings(cell, {**sweep.get("fixed", {}), sweep["key"]: v}),
            )
            for v in sweep["values"]
        ]
    rebuilt, errors, out = {}, {}, {}
    for label, variant in plan:
        method = build_method(variant)
        state, _ = adapt(variant, method, store)
        images = to_uint8(method.reconstruct(state))
        db = [min(v, 99.0) for v in psnr(real=shots, fake=images).tolist()]
        lpips = paired_distances(
            real=evidence.perceive(shots), fake=evidence.perceive(images)
        ).tolist()
        rebuilt[label] = images
        errors[label] = list(zip(db, lpips, strict=True))
        out[label] = {
            "psnr_db": [round(v, 3) for v in db],
            "lpips": [round(v, 6) for v in lpips],
            "psnr_db_mean": round(math.fsum(db) / len(db), 3),
            "lpips_mean": round(math.fsum(lpips) / len(lpips), 6),
        }
    folder = store.root / cell.folder
    folder.mkdir(parents=True, exist_ok=True)
    reconstruction_panel(
        folder / "reconstruction.png", originals=shots, rebuilt=rebuilt, errors=errors
    )
    return {
        "picture": "reconstruction.png",
        "extractor": evidence.perceptual.name,
        "by_setting": out,
    }
