"""The geometry and the colours of a human head, from its factors."""

from __future__ import annotations

import torch
from torch import Tensor

from fsig_bench.faceworld.canvas import ramp

SKIN = [
    (0.24, 0.14, 0.10),
    (0.47, 0.29, 0.20),
    (0.72, 0.50, 0.38),
    (0.88, 0.68, 0.56),
    (0.97, 0.83, 0.75),
]
HAIR = [(0.05, 0.04, 0.05), (0.22, 0.13, 0.08), (0.45, 0.29, 0.15), (0.86, 0.70, 0.40)]


class Head:
    """The geometry that the parts share; every number [n, 1, 1]."""

    def __init__(self, p: dict[str, Tensor]) -> None:
        q = {k: v[:, None, None] for k, v in p.items()}
        self.q, b = q, q["baby"]
        self.rx = 0.39 + 0.14 * q["face_width"] + 0.06 * b
        self.up = 0.56 + 0.06 * b  # skull above the face's centre
        self.down = 0.56 + 0.19 * q["face_length"] - 0.07 * b  # chin below it
        self.eye_y = 0.02 + 0.13 * b
        self.cy = self.eye_y + 0.06
        self.chin = self.cy + self.down
        self.shift = 0.12 * q["yaw"]  # of the features on the turned face
        self.nose_y = self.eye_y + 0.19 + 0.08 * q["nose_size"] + 0.06 * q["face_length"] - 0.03 * b
        self.mouth_y = self.nose_y + 0.45 * (self.chin - self.nose_y) - 0.02
        self.skin = ramp(p["skin_tone"], SKIN)
        tan = p["skin_warmth"]
        warm = torch.stack([1.03 - 0.03 * tan, 0.93 + 0.09 * tan, 1.04 - 0.20 * tan], 1)
        self.skin = (self.skin * warm).clamp(0, 1)
        hair = ramp(p["hair_light"], HAIR)
        red = torch.tensor([0.60, 0.20, 0.06]) * (0.35 + 0.9 * p["hair_light"])[:, None]
        self.hair = torch.lerp(hair, red.clamp(max=1), 0.85 * p["hair_red"][:, None] ** 1.5)
