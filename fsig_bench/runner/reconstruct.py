"""Can a method rebuild the shots? Errors per shot, over the method's own sweep.

The sweep stands in the method's card (for CRDI: eta = 1, 8, 15, as in the paper's figure 1), so
this file knows no method.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING

from fsig_bench.api.files import make_folder
from fsig_bench.api.images import to_uint8
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.api.types import Reconstructs
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.keys import key_content
from fsig_bench.runner.settings import MethodSettings
from fsig_bench.store.keys import digest
from fsig_bench.store.store import Store

if TYPE_CHECKING:
    from fsig_bench.metrics.base import Evidence


def with_settings(method: MethodSettings, changes: Json) -> MethodSettings:
    """The same method under other settings, given by dotted keys ("a" or "a.b")."""
    spec = copy.deepcopy(dict(method.spec))
    for key, value in changes.items():
        *path, last = key.split(".")
        reduce(getitem, path, spec)[last] = value
    return replace(method, spec=spec)


def rebuildings(cell: Cell) -> list[tuple[str, Cell, str]]:
    """The label, the cell and the key of the state of each rebuilding."""
    sweep = cell.method.reconstruct_sweep
    if sweep is None:
        return [("rebuilt", cell, cell.adapt_key)]
    out = []
    for value in sweep.values:
        method = with_settings(cell.method, {**sweep.fixed, sweep.key: value})
        variant, key = replace(cell, method=method), cell.adapt_key
        content = key_content(variant.adapts_by)
        if content != key_content(cell.adapts_by):
            key = digest(["reconstruct", cell.adapt_key, content])
        out.append((sweep.label.format(value), variant, key))
    return out


def reconstruct(cell: Cell, store: Store, evidence: Evidence, *, wait: bool = True) -> JsonDict:
    """Rebuilds the shots and writes the panel.

    Returns:
        For the record: PSNR (dB) and perceptual distance of each shot, by setting of the sweep.

    Raises:
        Busy: another process makes a state that this needs and `wait` is false.
    """
    from fsig_bench.metrics.lpips import paired_distances
    from fsig_bench.metrics.psnr import psnr
    from fsig_bench.pictures.reconstruction import reconstruction_panel
    from fsig_bench.runner.adapt import adapt
    from fsig_bench.runner.build import build_method, computing

    shots = cell.dataset.shots(cell.shots.k, cell.shots.subset)
    rebuilt, errors, out = {}, {}, {}
    for label, variant, key in rebuildings(cell):
        method = build_method(variant.method, variant.place)
        assert isinstance(method, Reconstructs)
        title = f"rebuild the shots, {label}"
        state, _ = adapt(variant, method, store, key=key, title=title, wait=wait)
        with computing(cell.place, cell.precision.sample):
            images = to_uint8(method.reconstruct(state))
        db = [min(v, 99.0) for v in psnr(real=shots, fake=images).tolist()]
        with computing(cell.place, cell.precision.score):
            seen = {"real": evidence.perceive(shots), "fake": evidence.perceive(images)}
        lpips = paired_distances(**seen).tolist()
        rebuilt[label] = images
        errors[label] = list(zip(db, lpips, strict=True))
        out[label] = {
            "psnr_db": [round(v, 3) for v in db],
            "lpips": [round(v, 6) for v in lpips],
            "psnr_db_mean": round(math.fsum(db) / len(db), 3),
            "lpips_mean": round(math.fsum(lpips) / len(lpips), 6),
        }
    folder = store.root / cell.folder
    make_folder(folder)
    reconstruction_panel(
        folder / "reconstruction.png", originals=shots, rebuilt=rebuilt, errors=errors
    )
    return {
        "picture": "reconstruction.png",
        "extractor": evidence.perceptual.name,
        "by_setting": out,
    }
