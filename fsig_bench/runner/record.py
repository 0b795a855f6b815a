"""The record of a finished run: everything that a table or a reader needs, as plain JSON."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from fsig_bench.api.digests import sha256_once
from fsig_bench.api.places import CHECKOUT
from fsig_bench.api.plain import Json, Record
from fsig_bench.api.types import State
from fsig_bench.api.version import __version__
from fsig_bench.api.weights import manifest_entry
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.fingerprint import recorded_code
from fsig_bench.store.records import recorded_settings

PACKAGES = ("torch", "diffusers", "hydra-core", "omegaconf", "numpy", "scipy", "scikit-learn")


def code_version() -> tuple[str | None, bool]:
    """The commit of this code, and whether files differ from it; None where no commit is known.

    Installed code belongs to the commit that pip was given, if any. A repository that merely lies
    around the code, such as one that holds a virtual environment, is never asked.
    """
    if CHECKOUT is None:
        return _installed_commit(), False

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True
            )
        except OSError:  # git is not installed
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != CHECKOUT:
        return None, False
    return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))


def _installed_commit() -> str | None:
    """What `pip install git+URL` noted (PEP 610)."""
    try:
        noted = json.loads(distribution("fsig-bench").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    commit = noted.get("vcs_info", {}).get("commit_id")
    return None if commit is None else str(commit)


def environment() -> Record:
    """Code, library versions and machine."""
    import torch

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    commit, dirty = code_version()
    return {
        "fsig_bench": __version__,
        "git_commit": commit,
        "git_dirty": dirty,
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
    notes: Json,
    nfe_per_image: float,
    metrics: Json,
    timing_s: Mapping[str, float],
    peak_mem_gib: float,
    pixels: str,
    pictures: Mapping[str, str],
    reconstruction: Json | None,
) -> Record:
    """All fields of record.json; `results/README.md` says what each means."""
    return {
        "record_version": 3,  # since 2: sealed; since 3: draw, code, settings_keys
        "run_id": cell.run_id,
        **cell.identity,
        "num_images": cell.samples.num_images,
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
        "shots": cell.dataset.shot_names(cell.shots.k, cell.shots.subset),
        "pictures": pictures,
        "stages": {"adapt": cell.adapt_key, "sample": cell.sample_key},
        "borrowed": dict(cell.borrowed),  # stages that other code made, under reuse=any_code
        "settings_keys": cell.settings_keys(),
        "code": recorded_code(cell.computed_by),
        "weights": {p: manifest_entry(p)["sha256"] for p in cell.weights},
        "assets": {
            a.file: {"sha256": sha256_once(a.get()), "licence": a.licence} for a in cell.assets
        },
        "config": recorded_settings(cell.config),
        "environment": environment(),
    }
