"""Reads image files as a person would see them, and resizes by a named recipe.

EXIF rotation is applied, embedded colour profiles become sRGB, transparency is laid on white,
16-bit grey is scaled, and of an animation the first frame counts.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, ImageOps

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
}
# center_: the largest centred square, then resize; squash_: resize, proportions lost.
RECIPES = {
    f"{fit}_pil_{name}": (fit, f) for fit in ("center", "squash") for name, f in FILTERS.items()
}


def list_images(folder: str | Path) -> list[Path]:
    """Image files of a folder in natural order (2 before 10); hidden files are ignored.

    Raises:
        ValueError: no such folder, or no image in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; give a folder of images")
    files = [
        p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    ]
    if not files:
        raise ValueError(f"{root} holds no images ({' '.join(sorted(SUFFIXES))})")

    def natural(path: Path) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", path.name.lower())
        return [(1, int(s), "") if s.isdigit() else (0, 0, s) for s in parts]

    return sorted(files, key=natural)


def _srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile: take the numbers as they are
    return converted or image


def as_rgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB, as seen on white."""
    image = ImageOps.exif_transpose(image) or image
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "I;16N", "F"):
        grey = np.asarray(image, dtype=np.float64)
        top = 255.0 if grey.max() <= 255 and image.mode in ("I", "F") else 65535.0
        return Image.fromarray((grey / top * 255).round().clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    image = _srgb(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _decode(path: Path) -> Image.Image:
    if path.stat().st_size == 0:
        raise OSError("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            image.load()
            return as_rgb(image)


def check_recipe(resize: str) -> None:
    """Raises ValueError, naming the choices, for an unknown recipe."""
    if resize not in RECIPES:
        raise ValueError(f"unknown resize recipe {resize!r}; choose from {sorted(RECIPES)}")


def read_pil(paths: Sequence[Path], *, resolution: int, resize: str) -> list[Image.Image]:
    """Square RGB pictures of side `resolution`.

    Raises:
        ValueError: files that cannot be read, all of them named in one message.
    """
    check_recipe(resize)
    fit, resample = RECIPES[resize]
    out, bad = [], []
    for path in paths:
        try:
            image = _decode(path)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
            bad.append(f"  {path}: {str(error) or type(error).__name__}")
            continue
        if fit == "center":
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        out.append(image.resize((resolution, resolution), resample))
    if bad:
        listed = "\n".join(bad)
        raise ValueError(
            f"{len(bad)} of {len(paths)} images cannot be read; replace or remove:\n{listed}"
        )
    return out


def read_images(paths: Sequence[Path], *, resolution: int, resize: str) -> Tensor:
    """uint8 [n, 3, resolution, resolution]; raises as `read_pil` does."""
    import torch

    pictures = read_pil(paths, resolution=resolution, resize=resize)
    return (
        torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))
        .permute(0, 3, 1, 2)
        .contiguous()
    )
