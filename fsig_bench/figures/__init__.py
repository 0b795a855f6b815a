"""The pictures of a run. One colour per role everywhere (Okabe and Ito's colour-blind-safe set)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

ROLE_COLOURS = {
    "source": "#8c8c8c",
    "target": "#56b4e9",
    "generated": "#d55e00",
    "shots": "#f0e442",
}
INK = "#1a1a1a"


def atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a file beside `path`, then renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
