"""Overrides to a composed config, as the command line does it, from anywhere in a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fsig_bench.api.places import CONF
from fsig_bench.help import GROUPS
from fsig_bench.runner.composition import compose_words, config_folders
from fsig_bench.runner.explain import Known, explain
from fsig_bench.runner.typed import check_words, quote_paths, quoted, split_word

ABSENT = object()


def search_path(folder: Path) -> str:
    """The override that adds a folder of config groups.

    Raises:
        ValueError: there is no such folder.
    """
    found = folder.expanduser().resolve()
    if not found.is_dir():
        raise ValueError(f"config_dir={folder} is no folder; give one with config groups")
    return f"hydra.searchpath=[{quoted(f'file://{found}')}]"


def compose_config(overrides: Sequence[str], *, config_dir: str | Path | None = None) -> DictConfig:
    """The config that these overrides give; Hydra's global state stays as it was.

    Args:
        overrides: in Hydra's grammar, as on the command line.
        config_dir: a folder with config groups of one's own, as `--config-dir` names it.

    Raises:
        ValueError: the overrides do not compose; the message names the word and the remedy.
    """
    words = quote_paths(overrides)
    check_typed(words, config_dir=config_dir)
    try:
        return _compose(words, config_dir)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(explained(error, words, config_dir=config_dir)) from error


def _compose(words: Sequence[str], config_dir: str | Path | None) -> DictConfig:
    more = [] if config_dir is None else [search_path(Path(config_dir))]
    return compose_words(words, more)


def check_typed(words: Sequence[str], *, config_dir: str | Path | None = None) -> None:
    """Refuses added words that nothing reads.

    Raises:
        ValueError: there is such a word; the message names it and the remedy.
    """
    root = OmegaConf.load(CONF / "config.yaml")
    assert isinstance(root, DictConfig)
    folders = config_folders(words, config_dir)

    def is_read(key: str) -> bool:
        files = (path for folder in folders[1:] for path in folder.rglob("*.yaml"))
        return any(f"${{{key}" in path.read_text(errors="replace") for path in files)

    check_words(
        words,
        keys=[*(str(key) for key in root if key != "defaults"), *GROUPS],
        fixed=lambda key: [str(name) for name in root[key]],
        is_group=lambda name: any((folder / name).is_dir() for folder in folders),
        is_read=is_read,
    )


def explained(
    error: Exception,
    words: Sequence[str],
    *,
    config_dir: str | Path | None = None,
    compose_typed: Callable[[list[str]], DictConfig] | None = None,
) -> str:
    """The error of Hydra or OmegaConf as a sentence, with hints at what the config has.

    Args:
        error: what was raised while the words were composed.
        words: as typed.
        config_dir: as for `compose_config`.
        compose_typed: composes the groups that the words choose; None: as `compose_config` does.
    """
    chosen = [w for w in words if split_word(w)[1] in (*GROUPS, "hydra.searchpath")]
    config: Any = {}
    with suppress(HydraException, OmegaConfBaseException, ValueError):
        cfg = compose_typed(chosen) if compose_typed else _compose(chosen, config_dir)
        config = OmegaConf.to_container(cfg, resolve=False)
    folders = [p.relative_to(CONF).as_posix() for p in CONF.rglob("*") if p.is_dir()]
    known = Known(config=config, owners=methods_with, groups=folders)
    return explain(error, words=words, known=known)


def methods_with(key: str) -> list[str]:
    """The methods of the repository that have a setting, given without `method.`."""
    found = []
    for path in sorted((CONF / "method").glob("*.yaml")):
        node = OmegaConf.load(path)
        if OmegaConf.is_dict(node) and OmegaConf.select(node, key, default=ABSENT) is not ABSENT:
            found.append(path.stem)
    return found
