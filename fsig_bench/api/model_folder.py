"""A folder that holds one model as diffusers saves it: which files count, and their digest.

Either the folder of a network (`UNet2DModel.save_pretrained`: config.json and
diffusion_pytorch_model.safetensors), or that of a pipeline, with the network in unet/. The
scheduler's config lies beside the network's, in scheduler/, or in a scheduler/ next to it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fsig_bench.api.weights import locate, sha256_of

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler_config.json"


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """The files of a model folder that decide what the model computes."""

    config: Path
    weights: Path
    scheduler: Path | None  # None: the folder says nothing about the noise schedule

    @property
    def digest(self) -> str:
        """sha256 over the files' contents; where they lie does not matter."""
        files = {"config": self.config, "weights": self.weights, "scheduler": self.scheduler}
        head = hashlib.sha256()
        for role, file in files.items():
            head.update(f"{role}/{_sha256(file) if file else 'none'}/".encode())
        return head.hexdigest()


def is_model_folder(path: str) -> bool:
    """Whether a path names a folder with the config of a network."""
    return _network_folder(path) is not None


def model_files(path: str) -> ModelFiles:
    """The files of a model folder.

    Raises:
        FileNotFoundError: the folder, its config or its weights are missing.
    """
    if (folder := _network_folder(path)) is None:
        what = f"holds no {CONFIG}" if locate(path).is_dir() else "is no folder"
        raise FileNotFoundError(
            f"{path} {what}; give a folder that diffusers' UNet2DModel.save_pretrained wrote"
        )
    weights = folder / WEIGHTS
    if not weights.exists():
        there = sorted(p.name for p in folder.glob("diffusion_pytorch_model*"))
        raise FileNotFoundError(
            f"{folder} holds no {WEIGHTS} (there: {', '.join(there) or 'no weights'}); save the "
            "model again as one file by save_pretrained(folder, safe_serialization=True): pickled "
            "weights are never opened"
        )
    places = [folder, folder / "scheduler", folder.parent / "scheduler"]
    found = [place / SCHEDULER for place in places if (place / SCHEDULER).exists()]
    return ModelFiles(
        config=folder / CONFIG, weights=weights, scheduler=found[0] if found else None
    )


def _network_folder(path: str) -> Path | None:
    whole = locate(path)
    return next((p for p in (whole, whole / "unet") if (p / CONFIG).is_file()), None)


def _sha256(file: Path) -> str:
    found = file.stat()
    return _sha256_of(file, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)  # by size and time too, so that an edited file is read again
def _sha256_of(file: Path, size: int, time_ns: int) -> str:
    return sha256_of(file)
