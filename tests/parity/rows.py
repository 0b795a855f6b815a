"""A row of the comparison: what both sides gave, how far apart they are, how far they may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Row:
    """One quantity; `difference` is the largest absolute one of all its values."""

    quantity: str
    official: str
    ours: str
    difference: float
    least: float  # 0; of a difference that is meant: how large it is at least
    most: float
    note: str = ""  # a difference that is meant, by name; or what stands in for a part of upstream
    worst: str = ""  # which of several comparisons differs most
    seconds: float = 0.0  # of processor time, both sides together

    @property
    def holds(self) -> bool:
        """Whether the difference lies within its bounds, on both sides; NaN never does."""
        return self.least <= self.difference <= self.most

    @property
    def tolerance(self) -> str:
        """The bounds as words."""
        if self.least > 0:
            return f"{self.least:.0e} to {self.most:.0e}"
        return "equal" if self.most == 0 else f"{self.most:.0e}"


def as_array(value: Any) -> np.ndarray:
    """Tensors, arrays, lists and numbers as float64; images of 8 bits and indices alike."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=np.float64)


def shown(values: list[np.ndarray]) -> str:
    """A number as it is; of many the root mean square, which says how large they are."""
    flat = np.concatenate([v.ravel() for v in values])
    if flat.size == 0:
        return "none"
    if flat.size == 1:
        return f"{flat[0]:.8g}"
    return f"rms {math.sqrt(float(np.mean(flat**2))):.6g}"


def compare(
    quantity: str,
    pairs: Mapping[str, tuple[Any, Any]] | tuple[Any, Any],
    *,
    most: float,
    least: float = 0.0,
    note: str = "",
) -> Row:
    """The row for (official, ours), or for several such pairs by name.

    Unlike shapes differ by infinity. Official values that are all the same compare nothing: then
    the difference is not a number, and the row fails.

    Args:
        most: the largest difference that passes.
        least: the smallest one, where the two are meant to differ: a difference that is gone has
            to be noticed too.
    """
    named = pairs if isinstance(pairs, Mapping) else {"": pairs}
    if not named:
        raise ValueError(f"{quantity}: nothing to compare")
    both = {name: (as_array(a), as_array(b)) for name, (a, b) in named.items()}
    gaps = {}
    for name, (a, b) in both.items():
        if a.shape != b.shape or a.size == 0:
            gaps[name] = math.inf
            note = f"{note} shapes {a.shape} and {b.shape}".strip()
        elif a.size > 1 and np.ptp(a) == 0:
            gaps[name] = math.nan
            note = f"{note} the official values are all {a.flat[0]:g}".strip()
        else:
            gaps[name] = float(np.abs(a - b).max())
    # NaN counts as the largest, so that it cannot hide behind a number.
    worst = max(gaps, key=lambda name: (math.isnan(gaps[name]), gaps[name]))
    return Row(
        quantity=quantity,
        official=shown([a for a, _ in both.values()]),
        ours=shown([b for _, b in both.values()]),
        difference=gaps[worst],
        least=least,
        most=most,
        note=note,
        worst=worst,
    )


def failed(quantity: str, reason: str) -> Row:
    """The row of a comparison that could not be made."""
    return Row(
        quantity=quantity,
        official="none",
        ours="none",
        difference=math.nan,
        least=0.0,
        most=0.0,
        note=reason,
    )
