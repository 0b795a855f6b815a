"""Reads image files as a person would see them, and resizes by a named recipe.

EXIF rotation is applied, embedded colour profiles become sRGB, transparency is laid on white,
deep grey is scaled, and of an animation the first frame counts.

Shape legend: n images, r side.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

from fsig_bench.data.opening import open_image

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
READING = 1  # raise when a change here changes pixels: part of every folder's fingerprint
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
}
# center_: the largest centred square, then resize; squash_: resize, proportions lost. PIL widens
# its filters when it shrinks, so each of them is antialiased.
RECIPES = {
    f"{fit}_pil_{name}": (fit, f) for fit in ("center", "squash") for name, f in FILTERS.items()
}
# guided-diffusion's reader, which DomainStudio's code shares (its `image_datasets.py`).
RECIPES["center_halved_bicubic"] = ("halve", Image.Resampling.BICUBIC)
DEEP_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
TRANSPARENT = ("RGBA", "LA", "PA", "La", "RGBa")
ALREADY_SRGB = ("sRGB IEC61966", "sRGB built-in")  # beginnings of profile descriptions


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name.lower())
    # the name itself comes last, so that 1.png and 01.png have one order on every disk
    return [(1, int(s), "") if s.isdecimal() else (0, 0, s) for s in parts], path.name


def list_images(folder: str | Path) -> list[Path]:
    """Image files of a folder in natural order (2 before 10); hidden files are ignored.

    Raises:
        ValueError: no such folder, or no image in it.
    """
    try:
        root = Path(str(folder)).expanduser()
    except RuntimeError as error:  # ~name of an unknown user
        raise ValueError(f"{folder}: {error} Write the path out") from error
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise ValueError(f"{root} is not a folder (it {what}); give a folder of images")
    files = [
        p
        for p in root.iterdir()
        if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and not p.is_dir()
    ]
    if not files:
        raise ValueError(
            f"{root} holds no images; put some there ({' '.join(sorted(SUFFIXES))}), "
            "or give the folder that directly holds them"
        )
    return sorted(files, key=_natural)


def _srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An L, RGB or CMYK picture with its numbers moved from `profile` to sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(source).startswith(ALREADY_SRGB):
            return image  # a round trip would move values by one
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):
        return image  # broken, or for other channels than these: take the numbers as they are


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey to RGB, scaled by the range that the values need."""
    grey = np.asarray(image, dtype=np.float64)
    if not np.isfinite(grey).all():
        raise ValueError("it holds NaN or infinity")
    tops = {"F": (1.0, 255.0), "I": (255.0,)}.get(image.mode, ())  # I;16 says its range itself
    top = next((t for t in tops if grey.max() <= t), 65535.0)
    scaled = (grey / top * 255).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(scaled).convert("RGB")


def as_rgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB, as seen on white."""
    image = ImageOps.exif_transpose(image) or image
    if image.mode in DEEP_GREY:
        return _from_deep_grey(image)
    alpha, colour = None, image
    if image.mode in TRANSPARENT or "transparency" in image.info:
        colour = image.convert("RGBA")
        alpha = colour.getchannel("A")
    # Profiles are for the channels that the file has: grey, CMYK or RGB.
    if image.mode != "CMYK":
        colour = colour.convert("RGB")
        colour = colour.convert("L") if image.mode in ("1", "L", "LA", "La") else colour
    if profile := image.info.get("icc_profile"):
        colour = _srgb(colour, profile)
    colour = colour.convert("RGB")
    if alpha is None:
        return colour
    paper = Image.new("RGB", colour.size, "white")
    paper.paste(colour, mask=alpha)
    return paper


def _for_each(paths: Sequence[Path], work: Callable[[Image.Image], T]) -> list[T]:
    """What `work` makes of every file; the files that fail are named in one error."""
    out, bad = [], []
    for path in paths:
        try:
            with open_image(path) as image:
                out.append(work(image))
        except Exception as error:  # decoders raise anything on damaged bytes: TypeError, KeyError
            bad.append(f"  {path}: {str(error) or type(error).__name__}")
    if bad:
        listed = "\n".join(bad)
        raise ValueError(
            f"{len(bad)} of {len(paths)} images cannot be read; replace or remove:\n{listed}"
        )
    return out


def check_recipe(resize: str) -> None:
    """Raises ValueError, naming the choices, for an unknown recipe."""
    if resize not in RECIPES:
        raise ValueError(f"unknown resize recipe {resize!r}; choose from {sorted(RECIPES)}")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a whole decoding of one file showed."""

    width: int
    height: int
    span: int  # brightest minus darkest value of any channel, of 255


def look_at(paths: Sequence[Path]) -> list[Seen]:
    """Decodes every file to its last byte; raises as `read_pixels` does."""

    def seen(image: Image.Image) -> Seen:
        image.load()
        low, high = zip(*as_rgb(image).getextrema(), strict=True)
        return Seen(width=image.width, height=image.height, span=max(high) - min(low))

    return _for_each(paths, seen)


def check_headers(paths: Sequence[Path]) -> None:
    """Raises as `read_pixels` does; damage behind a sound header stays unseen, at 0.1 ms a file."""
    _for_each(paths, lambda image: image.size)


def _crop_middle(picture: Image.Image, side: int) -> Image.Image:
    """The square of `side` pixels in the middle."""
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _halve(picture: Image.Image, side: int, last: Image.Resampling) -> Image.Image:
    """Halved by a box filter as long as that is possible, then brought to its shorter `side`."""
    while min(picture.size) >= 2 * side:
        picture = picture.resize((picture.width // 2, picture.height // 2), FILTERS["box"])
    scale = side / min(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), last)


def read_pixels(paths: Sequence[Path], *, resolution: int, resize: str) -> npt.NDArray[np.uint8]:
    """uint8 [n, r, r, 3] with r = `resolution`; needs no torch.

    Raises:
        ValueError: unknown recipe, or files that cannot be read, all named in one message.
    """
    check_recipe(resize)
    fit, resample = RECIPES[resize]

    def square(image: Image.Image) -> npt.NDArray[np.uint8]:
        image.load()
        picture = as_rgb(image)
        if fit == "halve":
            return np.asarray(_crop_middle(_halve(picture, resolution, resample), resolution))
        if fit == "center":
            picture = _crop_middle(picture, min(picture.size))
        return np.asarray(picture.resize((resolution, resolution), resample))

    return np.stack(_for_each(paths, square))


def read_native(path: Path) -> npt.NDArray[np.uint8]:
    """uint8 [h, w, 3] at the file's own size; raises as `read_pixels` does."""
    return _for_each([path], lambda image: np.asarray(as_rgb(image)))[0]


def to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 [n, r, r, 3] -> [n, 3, r, r], a copy."""
    import torch

    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())


def read_images(paths: Sequence[Path], *, resolution: int, resize: str) -> Tensor:
    """uint8 [n, 3, r, r]; raises as `read_pixels` does."""
    return to_tensor(read_pixels(paths, resolution=resolution, resize=resize))
