"""From the words of a command to candidates: what is searched, what is fixed, what can run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.faceworld.domains import DEVELOPMENT
from fsig_bench.tune.ranges import parse
from fsig_bench.tune.space import Dimension, fit_to_setting

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from fsig_bench.runner.cell import Cell

VERSION = 2  # raise when a change of the code changes what the objective measures
OPTIONS = {  # of each objective, with their defaults
    "shots": {"trials": 20, "startup": 10, "samples": 40, "held": 2},
    "reference": {"trials": 20, "startup": 10, "samples": 500, "subsets": 2},
}
HINT = "fsig-bench ... --cfg job prints all of them"
GROUP = "dev"  # dataset=dev: all development targets
REMOVED = {"dataset": ("reference", "fresh")}  # target images besides the shots


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command asks for: the ranges to search, the overrides, and the options."""

    space: tuple[Dimension, ...]
    fixed: tuple[str, ...]
    objective: str  # shots | reference
    trials: int
    startup: int  # of these, drawn at random before TPE suggests any
    samples: int  # drawn in each part of a trial
    held: int = 0  # shots left out in each fold, of objective=shots
    subsets: int = 0  # of shots, of objective=reference


def parse_request(words: Sequence[str]) -> Request:
    """Sorts words into ranges, options and ordinary overrides.

    Raises:
        ValueError: a word is malformed, or there is nothing to search.
    """
    space, fixed = [], []
    named = [word.partition("=")[2] for word in words if word.startswith("objective=")]
    objective = named[0] if named else "shots"
    if objective not in OPTIONS:
        raise ValueError(f"objective={objective}: choose one of {', '.join(OPTIONS)}")
    options = dict(OPTIONS[objective])
    every = {key for own in OPTIONS.values() for key in own}
    for word in words:
        key, eq, value = word.partition("=")
        if not eq:
            raise ValueError(f"{word!r}: give key=value")
        if key in every and key not in options:
            raise ValueError(f"{word} has no meaning with objective={objective}: leave it out")
        if key in options:
            if not value.isdecimal() or int(value) < 1:
                raise ValueError(f"{word}: give a whole number of at least 1")
            options[key] = int(value)
        elif dimension := parse(word):
            space.append(dimension)
        elif key != "objective":
            fixed.append(word)
    if not space:
        raise ValueError("nothing to search: give a range, as in 'method.lr=interval(1e-5,1e-3)'")
    keys = [d.key for d in space] + [w.partition("=")[0] for w in fixed]
    keys += ["objective"] * len(named)
    if twice := sorted({k for k in keys if keys.count(k) > 1}):
        raise ValueError(f"{twice[0]} is given more than once")
    return Request(space=tuple(space), fixed=tuple(fixed), objective=objective, **options)


def settings_of(config: Json, above: str = "") -> JsonDict:
    """Every key of nested mappings with its value, those of mappings too."""
    out: JsonDict = {}
    for key, value in config.items():
        out[above + key] = value
        if isinstance(value, Mapping):
            out |= settings_of(value, f"{above}{key}.")
    return out


def unknown_setting(key: str, known: Sequence[str]) -> ValueError:
    """The error for a setting that is not there, with those that are spelled alike."""
    like = difflib.get_close_matches(key, known, 3)
    hint = f" (is one of these meant: {', '.join(like)}?)" if like else ""
    return ValueError(f"there is no setting {key}{hint}; {HINT}")


def compose(words: Sequence[str]) -> DictConfig:
    """Composes overrides.

    Raises:
        ValueError: they do not compose; the message names the setting.
    """
    from fsig_bench.runner.compose import compose_config

    try:
        return compose_config(words)
    except ValueError as error:
        if found := re.match(r"Could not override '([^']+)'", str(error)):
            raise ValueError(f"there is no setting {found[1]}; {HINT}") from error
        raise ValueError(str(error).split("\n\nConfig search path")[0]) from error


def results_dir_of(words: Sequence[str]) -> str:
    """Where results go.

    Raises:
        ValueError: the overrides do not compose.
    """
    return str(compose(with_one_target(words)).results_dir)


def with_one_target(words: Sequence[str]) -> list[str]:
    """The words with the first development target in the place of all of them."""
    return [f"dataset={DEVELOPMENT[0]}" if w == f"dataset={GROUP}" else w for w in words]


def without_reference(words: Sequence[str]) -> tuple[list[str], DictConfig]:
    """Overrides that leave the dataset its shots only, and the config before that.

    Raises:
        ValueError: the method draws target images that nobody may look at here.
    """
    cfg = compose(words)
    for group in ("method", "dataset"):
        if group not in cfg:
            raise ValueError(f"no {group} is chosen: add {group}=...")
    name, images = cfg.method.card.name, cfg.method.get("images") or {}
    if "fresh" in cfg.method.card.get("needs", []):
        raise ValueError(f"method={name} draws unseen target images; tuning has the shots only")
    if "files" in images:
        raise ValueError(f"method={name} shows images that were made elsewhere: nothing to tune")
    less = [f"{part}.{k}=null" for part, keys in REMOVED.items() for k in keys if k in cfg[part]]
    return [*words, *less], cfg


def present_settings(cfg: DictConfig) -> JsonDict:
    """The method's settings by full key; of a reference to one value the value."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(OmegaConf.create({"method": cfg.method}, parent=None))
    found = settings_of(plain)
    for key, value in found.items():
        if isinstance(value, str) and "${" in value:
            filled = OmegaConf.select(cfg, key)
            found[key] = value if OmegaConf.is_config(filled) else filled
    return found


def check_space(request: Request, cfg: DictConfig) -> tuple[Dimension, ...]:
    """The space, with every key looked up and every range in the setting's kind.

    Raises:
        ValueError: a setting or a group is not there, or a range does not suit it.
    """
    known = present_settings(cfg)
    space = []
    for d in request.space:
        if "/" in d.key:
            for choice in d.choices:
                try:
                    compose([*request.fixed, f"{d.key}={choice}"])
                except ValueError as error:
                    message = f"there is no group {d.key} with a choice {choice} below conf/"
                    raise ValueError(message) from error
            space.append(d)
        elif d.key not in known:
            raise unknown_setting(d.key, list(known))
        elif isinstance(known[d.key], Mapping):
            raise ValueError(f"{d.key} is a group of settings: search one of those below it")
        else:
            space.append(fit_to_setting(d, known[d.key]))
    return tuple(space)


def candidate_cell(words: Sequence[str], point: Mapping[str, str]) -> Cell:
    """The cell with the settings of a point.

    Raises:
        ValueError, OSError: it cannot run as it is set.
    """
    from fsig_bench.runner.resolve import resolve

    cell = resolve(compose([*words, *(f"{k}={v}" for k, v in point.items())]))
    for key, value in (("seed", cell.seed), ("subset", cell.shots.subset)):
        if not isinstance(value, int):
            raise ValueError(f"{key}={value}: give one whole number")
    return cell


def check_candidate(words: Sequence[str], point: Mapping[str, str]) -> None:
    """Builds a candidate's method without loading a network.

    Raises:
        ValueError: it refuses its settings.
    """
    from hydra.errors import InstantiationException

    from fsig_bench.runner.build import build_method

    cell = candidate_cell(words, point)
    try:
        build_method(cell.method, replace(cell.place, compile=None, offload=False))
    except InstantiationException as error:
        typed = " ".join(f"{k}={v}" for k, v in point.items())
        raise ValueError(f"{typed}: {error.__cause__ or error}") from error


def study_name(cell: Cell, request: Request) -> str:
    """Method, dataset, and a digest of all that the objective depends on."""
    from fsig_bench.runner.fingerprint import marks
    from fsig_bench.runner.keys import key_content
    from fsig_bench.store.keys import STAGE_VERSION, digest

    keyed = [
        VERSION,
        STAGE_VERSION,
        sorted(map(repr, request.space)),
        request.samples,
        request.held,
    ]
    keyed += [key_content(cell.method.spec), key_content(cell.protocol.perceptual)]
    keyed += [marks(cell.method.spec), marks(cell.protocol.perceptual)]
    keyed += [cell.shots_fingerprint, cell.seed, cell.draw, asdict(cell.precision)]
    keyed += [cell.suite.resolution]
    return f"{cell.method.name}-{cell.dataset.name}-{digest(keyed)[:10]}"
