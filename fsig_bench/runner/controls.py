"""Which controls stand beside a cell, and under which overrides."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf


def control_overrides(words: Sequence[str], cfg: DictConfig) -> list[list[str]]:
    """The overrides of the cell's controls; what belongs to the method stays behind.

    Raises:
        ValueError: `controls` is not a list.
    """
    if not OmegaConf.is_list(cfg.controls):
        raise ValueError(f"controls={cfg.controls}: give a list, [source,copy] or [] for none")
    kept = [w for w in words if not w.lstrip("+~").startswith("method")]
    chosen = [c for c in cfg.controls if c != cfg.method.card.name]
    return [[*kept, f"method={c}"] for c in chosen]


def applies(cfg: DictConfig) -> bool:
    """A folder has no unseen target images to draw from, so `real` does not run on it."""
    return "fresh" not in cfg.method.card.get("needs", []) or cfg.dataset.get("fresh") is not None
