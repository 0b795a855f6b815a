"""Hydra's composition of words, done once for the groups that they choose.

Words that only set values (`k=5`, `method.lr=1e-4`) change nothing of what the groups compose to,
and Hydra applies them last. So the groups' config is kept in memory, and the values are set on a
copy of it. Whatever is not that simple is left to Hydra as a whole, its errors too.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fsig_bench.api.places import CONF
from fsig_bench.runner.typed import quoted

KEPT = 256  # configs in memory, about 30 KB each
MOST_FILES = 2000  # in the folders of config groups; with more of them nothing is kept
State = tuple[tuple[str, int, int], ...]  # a file, its time and its size


def config_folders(words: Sequence[str], config_dir: str | Path | None = None) -> list[Path]:
    """The folders of config groups: that of the package first, then those that words name."""
    found = re.findall(r"file://([^'\",\]]+)", " ".join(w for w in words if "searchpath=" in w))
    return [CONF, *(Path(f).expanduser() for f in [config_dir, *found] if f is not None)]


def given_config_folders(loader: ConfigLoader, searchpath: Sequence[str]) -> list[str]:
    """The folders of config groups that a running command has been given, as Hydra names them."""
    elements = loader.get_search_path().get_path()
    found = [str(e.path) for e in elements if e.provider == "command-line"]
    return found + list(map(str, searchpath))


def words_of_search_path(loader: ConfigLoader, searchpath: Sequence[str]) -> list[str]:
    """The word that names the folders of config groups that a running command has been given.

    Args:
        loader: of the command; knows the folder of `--config-dir`.
        searchpath: the command's `hydra.searchpath`.
    """
    found = given_config_folders(loader, searchpath)
    return [f"hydra.searchpath=[{','.join(map(quoted, found))}]"] if found else []


def compose_words(words: Sequence[str], more: Sequence[str] = ()) -> DictConfig:
    """The config of these words; Hydra's global state stays as it was.

    Args:
        words: in Hydra's grammar.
        more: words of Hydra's own, such as its search path.

    Raises:
        HydraException, OmegaConfBaseException: the words do not compose.
    """
    folders = config_folders([*words, *more])
    try:
        values = values_among(words, folders)
        groups = [word for word in words if word not in {v.input_line for v in values}]
        config: DictConfig = pickle.loads(_kept((*groups, *more), _state(folders)))
        for value in values:
            OmegaConf.update(config, value.key_or_group, value.value(), merge=True)
    except (HydraException, OmegaConfBaseException, NotSimple):
        return compose_by_hydra([*words, *more])
    return config


class NotSimple(Exception):
    """A word neither chooses a group nor sets a value that is there."""


def values_among(words: Sequence[str], folders: Sequence[Path]) -> list[Override]:
    """The words that set a value; the others choose groups.

    Raises:
        NotSimple: there is a word that does neither, such as one that adds a value.
    """
    if any("pkg://" in word for word in words):
        raise NotSimple  # a package's files are not looked at here
    values = []
    for override in OverridesParser.create().parse_overrides(list(words)):
        key = override.key_or_group
        if override.is_hydra_override() or override.package is not None:
            continue
        if "/" in key or any((folder / key).is_dir() for folder in folders):
            continue
        if override.type != OverrideType.CHANGE or override.is_sweep_override():
            raise NotSimple
        values.append(override)
    return values


@lru_cache(maxsize=KEPT)
def _kept(words: tuple[str, ...], state: State) -> bytes:
    return pickle.dumps(compose_by_hydra(words))


def compose_by_hydra(words: Sequence[str]) -> DictConfig:
    """The config that Hydra composes, from the first file to the last word."""
    job, active = HydraConfig.instance().cfg, GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", list(words))
    finally:
        HydraConfig.instance().cfg, GlobalHydra.instance().hydra = job, active


def _state(folders: Sequence[Path]) -> State:
    """What tells whether a file of the folders has changed.

    Raises:
        NotSimple: the folders hold too much to look at each time, or cannot be read.
    """
    found, left, looked_at = [], [str(f) for f in folders if f.is_dir()], 0
    try:
        while left:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if (looked_at := looked_at + 1) > MOST_FILES:
                        raise NotSimple
                    if entry.is_dir():
                        left.append(entry.path)
                    elif entry.name.endswith(".yaml"):
                        status = entry.stat()
                        found.append((entry.path, status.st_mtime_ns, status.st_size))
    except OSError as error:
        raise NotSimple from error
    return tuple(sorted(found))
