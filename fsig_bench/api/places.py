"""Where the harness's own data lies: beside the package in a checkout, inside it once installed."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent  # holds `baselines` too; relative paths of weights start here


def own_folder(inside: str, in_checkout: str) -> Path:
    """A folder of data under its name in the package, else under its name in a checkout."""
    installed = PACKAGE / inside
    return installed if installed.is_dir() else ROOT / in_checkout


CONF = own_folder("conf", "conf")
PUBLISHED = own_folder("published", "results/published")
