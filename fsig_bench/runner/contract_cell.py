"""The cell that `fsig-bench check` puts on trial: the user's words over short training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsig_bench.runner.cell import Cell

DEFAULTS = {
    "dataset": "babies",
    "experiment": "smoke",  # short training; in_experiment/method/smoke/NAME.yaml shortens it more
    "k": "5",
    "device": "cpu",  # where adapting twice can be the same to the byte
    "controls": "[]",
}


def cell_to_check(words: Sequence[str], config_dir: str | Path | None) -> Cell:
    """The cell that these overrides give, with `DEFAULTS` for what they leave open.

    Raises:
        ValueError, OSError: the settings or a file are not as they have to be.
    """
    from fsig_bench.runner.cell import absent_assets
    from fsig_bench.runner.compose import compose_config
    from fsig_bench.runner.resolve import resolve

    given = {word.lstrip("+~").partition("=")[0] for word in words}
    if "method" not in given:
        raise ValueError("no method is chosen: add method=NAME, and --config-dir DIR for your own")
    preset = [f"{key}={value}" for key, value in DEFAULTS.items() if key not in given]
    cell = resolve(compose_config([*preset, *words], config_dir=config_dir))
    if missing := absent_assets([cell]):
        raise ValueError(f"{', '.join(map(str, missing))} is not there: run the method once first")
    return cell
