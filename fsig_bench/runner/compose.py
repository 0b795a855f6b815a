"""Overrides to a composed config, as the command line does it, from anywhere in a program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from fsig_bench.api.places import CONF


def search_path(folder: Path) -> str:
    """The override that adds a folder of config groups.

    Raises:
        ValueError: there is no such folder.
    """
    found = folder.expanduser().resolve()
    if not found.is_dir():
        raise ValueError(f"config_dir={folder} is no folder; give one with config groups")
    return f"hydra.searchpath=['file://{found}']"


def compose_config(overrides: Sequence[str], *, config_dir: str | Path | None = None) -> DictConfig:
    """The config that these overrides give; Hydra's global state stays as it was.

    Args:
        overrides: in Hydra's grammar, as on the command line.
        config_dir: a folder with config groups of one's own, as `--config-dir` names it.

    Raises:
        ValueError: the overrides do not compose; the message is Hydra's.
    """
    words = list(overrides)
    if config_dir is not None:
        words.append(search_path(Path(config_dir)))
    job, active = HydraConfig.instance().cfg, GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", words)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(str(error)) from error
    finally:
        HydraConfig.instance().cfg, GlobalHydra.instance().hydra = job, active
