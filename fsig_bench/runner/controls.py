"""Which controls stand beside a cell, and under which config."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from omegaconf import DictConfig, OmegaConf, open_dict

from fsig_bench.api.places import CONF

Compose = Callable[[list[str]], DictConfig]
EXPERIMENT = "experiment="


def control_configs(words: Sequence[str], cfg: DictConfig, compose: Compose) -> list[DictConfig]:
    """The config of each control that applies: the cell's, with another method in its place.

    Args:
        words: the cell's overrides.
        cfg: the cell's config.
        compose: from overrides to a config.

    Raises:
        ValueError: `controls` is not a list.
    """
    if not OmegaConf.is_list(cfg.controls):
        raise ValueError(f"controls={cfg.controls}: give a list, [source,copy] or [] for none")
    kept = [w for w in words if not w.lstrip("+~").startswith("method")]
    chosen = [c for c in cfg.controls if c != cfg.method.card.name]
    return [found for c in chosen if applies(found := _config_of(c, kept, compose))]


def _config_of(control: str, kept: list[str], compose: Compose) -> DictConfig:
    """A control keeps its own settings: what an experiment sets of a method is the method's."""
    found = compose([*kept, f"method={control}"])
    experiments = [w.removeprefix(EXPERIMENT) for w in kept if w.startswith(EXPERIMENT)]
    if not experiments:
        return found
    plain = [w for w in kept if not w.startswith((EXPERIMENT, "suite="))]
    plain += [f"suite={found.suite.name}", f"method={control}"]
    own = f"in_experiment/method/{experiments[-1]}/{control}.yaml"
    if (CONF / own).exists():
        plain.append(f"in_experiment/method@method={experiments[-1]}/{control}")
    card = found.method.card  # what the experiment sets there is for the harness
    with open_dict(found):
        found.method = compose(plain).method
        found.method.card = card
    return found


def applies(cfg: DictConfig) -> bool:
    """A folder has no unseen target images to draw from, so `real` does not run on it."""
    return "fresh" not in cfg.method.card.get("needs", []) or cfg.dataset.get("fresh") is not None
