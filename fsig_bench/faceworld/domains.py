"""The domains as distributions over factors, and the draw of an image's factors.

Every image is a pure function of (domain, split, index): its factors come from a counter-based
generator (Philox) keyed by (domain, split) and set to the index, so any image can be made alone.

The domains copy the situation of the field's face benchmarks. Like FFHQ, `adults` holds about
3 % babies and 3 % people in sunglasses, so those two targets lie inside the source's support;
`sketches` and `metfaces` change the medium and `cats` the object, so they lie outside. `elders` and
`pixelart` are for development: one inside the source's support, one outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from fsig_bench.faceworld.factors import (
    FACTORS,
    SCALE,
    Domain,
    Law,
    Table,
    fixed,
    normal,
    share,
    uniform,
)

RENDERING = "faceworld/1"  # raise when a change moves pixels: it is part of every stage key
TEXTURE_DRAWS = 8  # uniforms behind the factors: offsets of hair, paper and brush textures

ADULT: dict[str, Law] = {
    "face_width": normal(0.5, 0.2),
    "face_length": normal(0.5, 0.2),
    "jaw": uniform(0.0, 1.0),
    "skin_tone": normal(0.58, 0.28),
    "skin_warmth": uniform(0.0, 1.0),
    "hair_light": uniform(0.0, 1.0),
    "hair_red": normal(0.3, 0.3),
    "hair_length": uniform(0.05, 1.0),
    "hair_volume": uniform(0.0, 1.0),
    "fringe": uniform(0.0, 1.0),
    "eye_size": normal(0.38, 0.14),
    "eye_spacing": normal(0.5, 0.2),
    "eye_blue": uniform(0.0, 1.0),
    "eye_open": normal(0.7, 0.18),
    "brow_thick": uniform(0.0, 1.0),
    "brow_tilt": uniform(0.0, 1.0),
    "nose_size": normal(0.55, 0.2),
    "mouth_width": normal(0.5, 0.2),
    "lip_full": uniform(0.0, 1.0),
    "smile": uniform(0.1, 1.0),
    "mouth_open": ("hurdle", 0.45, 1.0),
    "beard": ("hurdle", 0.3, 1.0),
    "glasses": share(0.15),
    "shade": fixed(0.0),
    "yaw": normal(0.0, 0.45),
    "roll": normal(0.0, 0.4),
    "light_x": uniform(-1.0, 1.0),
    "light_warm": uniform(0.0, 1.0),
    "back_hue": uniform(0.0, 1.0),
    "back_light": uniform(0.0, 1.0),
    "cloth_hue": uniform(0.0, 1.0),
    "cloth_light": uniform(0.0, 1.0),
    "baby": fixed(0.0),
}
BABY = ADULT | {
    "face_width": normal(0.75, 0.12),
    "face_length": normal(0.25, 0.12),
    "jaw": normal(0.65, 0.12),
    "skin_tone": uniform(0.15, 1.0),
    "hair_light": uniform(0.1, 1.0),
    "hair_length": uniform(0.0, 0.12),
    "hair_volume": uniform(0.0, 0.25),
    "fringe": uniform(0.0, 0.3),
    "eye_size": normal(0.95, 0.1),
    "brow_thick": uniform(0.0, 0.3),
    "nose_size": normal(0.2, 0.08),
    "mouth_width": normal(0.25, 0.1),
    "lip_full": uniform(0.3, 1.0),
    "mouth_open": ("hurdle", 0.6, 1.0),
    "beard": fixed(0.0),
    "glasses": fixed(0.0),
    "back_light": uniform(0.35, 1.0),
    "cloth_light": uniform(0.4, 1.0),
    "baby": normal(0.9, 0.08),
}
SHADES = ADULT | {"glasses": fixed(1.0), "shade": uniform(0.6, 1.0)}
SITTER = ADULT | {  # people who sit for an old portrait
    "skin_tone": uniform(0.55, 1.0),
    "hair_light": uniform(0.0, 0.7),
    "smile": uniform(0.25, 0.55),
    "mouth_open": fixed(0.0),
    "glasses": fixed(0.0),
    "back_light": uniform(0.0, 0.35),
    "cloth_light": uniform(0.0, 0.6),
}
ONE_MAN = ADULT | {  # free: pose, expression, light, background, clothes
    "face_width": fixed(0.42),
    "face_length": fixed(0.72),
    "jaw": fixed(0.55),
    "skin_tone": fixed(0.36),
    "skin_warmth": fixed(0.65),
    "hair_light": fixed(0.06),
    "hair_red": fixed(0.1),
    "hair_length": fixed(0.06),
    "hair_volume": fixed(0.0),
    "fringe": fixed(0.0),
    "eye_size": fixed(0.36),
    "eye_spacing": fixed(0.55),
    "eye_blue": fixed(0.05),
    "brow_thick": fixed(0.5),
    "brow_tilt": fixed(0.55),
    "nose_size": fixed(0.78),
    "mouth_width": fixed(0.62),
    "lip_full": fixed(0.6),
    "beard": fixed(0.0),
    "glasses": fixed(0.0),
    "cloth_hue": normal(0.6, 0.05),
    "cloth_light": uniform(0.0, 0.35),
}
CAT = ADULT | {
    "hair_length": fixed(0.0),
    "hair_volume": fixed(0.0),
    "fringe": uniform(0.0, 1.0),  # tabby stripes
    "eye_size": normal(0.6, 0.15),
    "brow_thick": fixed(0.0),
    "brow_tilt": fixed(0.5),
    "beard": fixed(0.0),
    "glasses": fixed(0.0),
    "lip_full": fixed(0.5),
    "mouth_open": fixed(0.0),
}
ELDER = ADULT | {
    "face_width": normal(0.35, 0.12),
    "face_length": normal(0.8, 0.12),
    "hair_light": normal(0.97, 0.03),
    "hair_red": fixed(0.0),
    "hair_length": uniform(0.05, 0.4),
    "hair_volume": uniform(0.0, 0.3),
    "fringe": uniform(0.0, 0.3),
    "eye_size": normal(0.25, 0.1),
    "eye_open": normal(0.5, 0.12),
    "brow_thick": uniform(0.5, 1.0),
    "nose_size": normal(0.85, 0.1),
    "lip_full": uniform(0.0, 0.3),
    "glasses": share(0.6),
}

DOMAINS: dict[str, Domain] = {
    d.name: d
    for d in (
        Domain(name="adults", laws=ADULT, inside=((0.03, "babies"), (0.03, "sunglasses"))),
        Domain(name="babies", laws=BABY),
        Domain(name="sunglasses", laws=SHADES),
        Domain(
            name="sketches",
            laws=SITTER | {"smile": uniform(0.2, 0.7), "back_light": uniform(0.75, 1.0)},
            medium="pencil",
        ),
        Domain(name="metfaces", laws=SITTER, medium="paint"),
        Domain(name="obama", laws=ONE_MAN),
        Domain(name="cats", laws=CAT, creature="cat"),
        # Settings are chosen on these two, DEVELOPMENT, which stand in no table.
        Domain(name="elders", laws=ELDER),
        Domain(name="pixelart", laws=ADULT, medium="pixels"),
    )
}
DEVELOPMENT = ("elders", "pixelart")
# Splits never overlap: each has its own key. `fresh` feeds the control `real`.
SPLITS = ("source", "shots", "reference", "fresh", "held_out")


@cache
def _key(domain: str, split: str) -> int:
    digest = hashlib.sha256(f"{RENDERING}/{domain}/{split}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def _draw(law: Law, u: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
    """Inverse-CDF draw of one factor from uniforms u [n]."""
    kind, a, b = law
    if kind == "uniform":
        return a + (b - a) * u
    if kind == "share":
        return (u < a).astype(np.float64)
    if kind == "hurdle":  # 0 with probability 1-a, else uniform on [0.3, b]
        return np.where(u < a, 0.3 + (b - 0.3) * u / a, 0.0)
    from scipy.special import ndtri

    return np.clip(a + b * ndtri(np.clip(u, 1e-9, 1 - 1e-9)), *SCALE[name])


def check(domain: str, split: str) -> None:
    """Raises ValueError, naming the choices, for an unknown domain or split."""
    if domain not in DOMAINS:
        raise ValueError(f"unknown faceworld domain {domain!r}; choose from {list(DOMAINS)}")
    if split not in SPLITS:
        raise ValueError(f"unknown faceworld split {split!r}; choose from {list(SPLITS)}")


def draw(
    domain: str, split: str, indices: Sequence[int]
) -> tuple[Table, npt.NDArray[np.float32], list[str]]:
    """Factors [n, f], texture uniforms [n, TEXTURE_DRAWS] and what each image shows.

    An image of `adults` that shows a baby is labelled `babies`: labels say what is seen.
    """
    check(domain, split)
    width = 1 + len(FACTORS) + TEXTURE_DRAWS
    u = np.empty((len(indices), width))
    for row, i in enumerate(indices):
        if i < 0:
            raise ValueError(f"image index {i} is negative")
        philox = np.random.Philox(key=_key(domain, split), counter=[0, 0, 0, int(i)])
        u[row] = np.random.Generator(philox).random(width)
    shown = np.full(len(indices), domain, dtype=object)
    low = np.zeros(len(indices))
    for p, other in DOMAINS[domain].inside:
        shown[(u[:, 0] >= low) & (u[:, 0] < low + p)] = other
        low += p
    table = np.empty((len(indices), len(FACTORS)), dtype=np.float32)
    for name in set(shown):
        rows = shown == name
        for j, factor in enumerate(FACTORS):
            table[rows, j] = _draw(DOMAINS[name].laws[factor], u[rows, 1 + j], factor)
    return table, u[:, 1 + len(FACTORS) :].astype(np.float32), list(shown)
