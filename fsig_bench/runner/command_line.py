"""From what a user typed to what Hydra reads, and from Hydra's errors back to a sentence."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fsig_bench.console import fail
from fsig_bench.runner.compose import check_typed, explained
from fsig_bench.runner.explain import is_mistake
from fsig_bench.runner.typed import is_setting, quote_paths
from fsig_bench.words import split_config_dir

HYDRA_ERRORS = (HydraException, OmegaConfBaseException)
SHOW_TRACE = "HYDRA_FULL_ERROR"  # Hydra's own switch: "1" shows the traceback of its errors


def is_sweep(words: Sequence[str]) -> bool:
    """Whether the typed words ask for a sweep."""
    return bool({"-m", "--multirun"} & set(words))


def interruption(words: Sequence[str]) -> str:
    """What an interrupted command prints: the words with which it goes on."""
    return f"interrupted; the same command goes on: {shlex.join(['fsig-bench', *words])}"


@contextmanager
def readable(words: Sequence[str]) -> Iterator[list[str]]:
    """The words as Hydra can read them; a mistake in them ends the program with a sentence.

    Args:
        words: as typed after the program's name.
    """
    sweep = is_sweep(words)
    quoted = quote_paths(words, sweep=sweep)
    settings = [w for w in quoted if is_setting(w) or w.startswith("~")]
    folder = None
    before = os.environ.get(SHOW_TRACE)
    os.environ[SHOW_TRACE] = "1"  # Hydra raises its errors instead of printing them
    try:
        folder = split_config_dir(quoted)[1]
        check_typed(settings, config_dir=folder)
        yield quoted
    except HYDRA_ERRORS as error:
        if before == "1" or not is_mistake(error):
            raise
        fail(ValueError(explained(error, settings, config_dir=folder)))
    except ValueError as error:
        if before == "1":
            raise
        fail(error)
    finally:
        os.environ.pop(SHOW_TRACE)
        if before is not None:
            os.environ[SHOW_TRACE] = before


def explained_error(error: Exception) -> Exception:
    """The error of a run; one of Hydra's as a sentence where the typed words caused it."""
    if not isinstance(error, HYDRA_ERRORS) or not is_mistake(error):
        return error
    words: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return ValueError(explained(error, words, compose_typed=lambda w: compose("config", w)))
