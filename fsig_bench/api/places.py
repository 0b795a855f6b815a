"""Where the harness's own data lies: in the checkout, or inside the package once installed.

An editable install is a checkout. There the checkout's conf/ counts, whatever copies lie elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent  # holds `baselines` too; relative paths of weights start here


def is_checkout(root: Path) -> bool:
    """Whether a folder is this repository's root: site-packages has no pyproject.toml or conf/."""
    return (root / "pyproject.toml").is_file() and (root / "conf" / "config.yaml").is_file()


CHECKOUT = ROOT if is_checkout(ROOT) else None  # None: installed from a wheel
CONF = CHECKOUT / "conf" if CHECKOUT else PACKAGE / "conf"
PUBLISHED = CHECKOUT / "results" / "published" if CHECKOUT else PACKAGE / "published"


def cache_folder() -> Path:
    """Where downloads are stored: $FSIG_BENCH_CACHE, by default ~/.cache/fsig_bench."""
    given = os.environ.get("FSIG_BENCH_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "fsig_bench"
