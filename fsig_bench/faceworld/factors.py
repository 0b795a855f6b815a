"""The named factors of a faceworld image, and the laws that a domain may draw them from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float32]  # [n, len(FACTORS)]

# name -> (low, high): the full scale of each factor over all domains
SCALE: dict[str, tuple[float, float]] = {
    "face_width": (0.0, 1.0),
    "face_length": (0.0, 1.0),
    "jaw": (0.0, 1.0),  # 0 pointed, 1 square
    "skin_tone": (0.0, 1.0),  # 0 dark, 1 light
    "skin_warmth": (0.0, 1.0),  # 0 rosy, 1 golden
    "hair_light": (0.0, 1.0),  # 0 black, 1 blond
    "hair_red": (0.0, 1.0),
    "hair_length": (0.0, 1.0),  # 0 cropped, 1 below the shoulders
    "hair_volume": (0.0, 1.0),
    "fringe": (0.0, 1.0),  # how far the hair comes down the forehead
    "eye_size": (0.0, 1.2),
    "eye_spacing": (0.0, 1.0),
    "eye_blue": (0.0, 1.0),  # iris from brown to blue
    "eye_open": (0.0, 1.0),
    "brow_thick": (0.0, 1.0),
    "brow_tilt": (0.0, 1.0),
    "nose_size": (0.0, 1.0),
    "mouth_width": (0.0, 1.0),
    "lip_full": (0.0, 1.0),
    "smile": (0.0, 1.0),  # 0 frown, 1 broad smile
    "mouth_open": (0.0, 1.0),
    "beard": (0.0, 1.0),
    "glasses": (0.0, 1.0),  # 0 none, 1 worn
    "shade": (0.0, 1.0),  # lens, 0 clear to 1 black
    "yaw": (-1.0, 1.0),  # head turned, in units of 25 degrees
    "roll": (-1.0, 1.0),  # head tilted, in units of 14 degrees
    "light_x": (-1.0, 1.0),  # where the light comes from
    "light_warm": (0.0, 1.0),
    "back_hue": (0.0, 1.0),
    "back_light": (0.0, 1.0),
    "cloth_hue": (0.0, 1.0),
    "cloth_light": (0.0, 1.0),
    "baby": (0.0, 1.0),  # proportions: 0 adult, 1 infant
}
FACTORS = tuple(SCALE)

Law = tuple[str, float, float]


def uniform(low: float, high: float) -> Law:
    return ("uniform", low, high)


def fixed(value: float) -> Law:
    return ("uniform", value, value)


def normal(mean: float, sd: float) -> Law:
    """Normal, clipped to the factor's scale."""
    return ("normal", mean, sd)


def share(p: float) -> Law:
    """1 with probability p, else 0."""
    return ("share", p, 0.0)


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A distribution over factors and a medium."""

    name: str
    laws: Mapping[str, Law]
    medium: str = "photo"  # photo | pencil | paint | pixels
    creature: str = "human"  # human | cat
    inside: tuple[tuple[float, str], ...] = field(default=())  # shares drawn from other domains

    def __post_init__(self) -> None:
        if missing := [f for f in FACTORS if f not in self.laws]:
            raise ValueError(f"domain {self.name!r} gives no law for {missing}")
