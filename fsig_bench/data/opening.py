"""The one way to open an image file from outside: of the formats that we name, and not too large.

Pillow chooses a decoder by a file's content, whatever its name says; some of its decoders start
other programs. It also decodes what takes all memory. Both end here, before anything is decoded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
LARGEST_MEGAPIXELS = 89  # a 16-bit RGB image of this size takes half a gigabyte
_one_at_a_time = threading.Lock()


@contextmanager
def open_image(file: Path | IO[bytes]) -> Iterator[Image.Image]:
    """An image of a known format whose header has been read.

    Raises:
        OSError: the file is empty or cannot be read.
        UnidentifiedImageError: it is no image of FORMATS, whatever its name says.
        ValueError: it has more than LARGEST_MEGAPIXELS.
    """
    if isinstance(file, Path) and file.stat().st_size == 0:
        raise OSError("the file is empty")
    image = _with_header(file)
    with image:
        pixels = image.width * image.height
        if pixels > LARGEST_MEGAPIXELS * 1_000_000:
            raise ValueError(
                f"it has {image.width} x {image.height} = {pixels / 1e6:.0f} megapixels, and at "
                f"most {LARGEST_MEGAPIXELS} are read; make it smaller"
            )
        yield image


def _with_header(file: Path | IO[bytes]) -> Image.Image:
    # Pillow's own limit raises without width and height, at twice its number only; ours comes
    # before anything is decoded as well.
    with _one_at_a_time:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=FORMATS)
        except UnidentifiedImageError as error:
            raise UnidentifiedImageError(
                f"it is no image of the formats {', '.join(FORMATS)}, whatever its name says"
            ) from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit
