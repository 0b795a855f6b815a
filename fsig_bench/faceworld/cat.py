"""Paints a cat's head from the same named factors: the far domain."""

from __future__ import annotations

import torch
from torch import Tensor

from fsig_bench.faceworld.canvas import Canvas, noise_field, ramp, shifted, smooth
from fsig_bench.faceworld.human import background

FUR = [(0.13, 0.11, 0.11), (0.42, 0.33, 0.25), (0.80, 0.52, 0.26), (0.93, 0.88, 0.80)]
EYES = [(0.85, 0.55, 0.12), (0.72, 0.72, 0.20), (0.35, 0.62, 0.35), (0.35, 0.60, 0.85)]
TUFTS = noise_field(512, 96, seed=13)


def cat(p: dict[str, Tensor], t: Tensor, size: int) -> Tensor:
    """float32 [n, 3, size, size] in [0, 1] from factors p (name -> [n]) and textures t [n, 8]."""
    c = Canvas(len(t), size)
    background(c, p, t)
    q = {k: v[:, None, None] for k, v in p.items()}
    fur = ramp(p["hair_light"], FUR)
    red = torch.tensor([0.86, 0.48, 0.18]) * (0.4 + 0.7 * p["hair_light"])[:, None]
    fur = torch.lerp(fur, red.clamp(max=1), 0.7 * p["hair_red"][:, None])
    tufts = shifted(TUFTS, t[:, 2], t[:, 3], size)
    c.paint(c.ellipse(0.0, 1.25, 0.62, 0.62), fur[:, :, None, None] * (0.62 + 0.2 * tufts)[:, None])
    c.turn(p["roll"] * 0.24, 0.0, 0.45)
    rx, ry, cy = 0.60 + 0.10 * q["face_width"], 0.52 + 0.08 * q["face_length"], 0.18
    shift = 0.10 * q["yaw"]
    for side in (-1.0, 1.0):
        for scale, colour in ((1.0, fur * 0.8), (0.62, torch.tensor([[0.80, 0.52, 0.50]]))):
            # An ear: a triangle that hangs from its tip.
            below = (c.y + 0.80) - (1 - scale) * 0.3
            x = side * c.x - 0.50
            sides = torch.maximum(-x - 0.62 * scale * below, x - 0.25 * scale * below)
            ear = c.edge(sides, 1.0) * c.edge(c.y - 0.1, 1.0)
            c.paint(ear, colour)
    u, v = c.x / rx, (c.y - cy) / ry
    r = (u * u + v * v).sqrt()
    head = c.edge(r - 1, ry)
    lit = 0.60 + 0.40 * (1 - 0.8 * (r * r).clamp(max=1)).sqrt() + 0.2 * u * q["light_x"]
    coat = lit * (0.86 + 0.28 * tufts)
    stripes = smooth((c.x * 22 + 3 * tufts).sin(), 0.2, 0.8) * smooth(-v, 0.15, 0.5)
    coat = coat * (1 - 0.45 * q["fringe"] * stripes)
    c.paint(head, (fur[:, :, None, None] * coat[:, None]).clamp(max=1))
    muzzle_y = 0.44
    pale = (fur * 0.35 + 0.62).clamp(max=1)
    for side in (-1.0, 1.0):
        c.paint(0.9 * c.ellipse(shift + side * 0.13, muzzle_y, 0.17, 0.13, blur=4.0), pale)
        cx, e = shift + side * (0.24 + 0.05 * q["eye_spacing"]), 0.11 + 0.05 * q["eye_size"]
        eye = c.ellipse(cx, 0.10, e, e * (0.35 + 0.6 * q["eye_open"]))
        c.paint(c.ellipse(cx, 0.10, e * 1.2, e * (0.5 + 0.6 * q["eye_open"])), fur * 0.25)
        c.paint(eye, ramp(p["eye_blue"], EYES))
        c.paint(eye * c.ellipse(cx, 0.10, e * 0.28, e * 1.2), torch.zeros(1, 3))
        c.paint(eye * c.ellipse(cx - 0.03, 0.06, 0.022, 0.022), torch.ones(1, 3))
        for k in (-1.0, 0.0, 1.0):  # whiskers
            reach = side * (c.x - shift)
            line = (c.y - muzzle_y - k * (0.03 + 0.12 * (reach - 0.2))).abs() - 0.007
            whisker = c.edge(line, 1.0) * c.edge((reach - 0.48).abs() - 0.28, 1.0)
            c.paint(0.8 * whisker, torch.tensor([[0.93, 0.93, 0.92]]))
        curve = (c.y - muzzle_y - 0.07 + 4.0 * (side * (c.x - shift) - 0.07).square()).abs() - 0.010
        c.paint(
            0.8 * c.edge(curve, 1.0) * c.edge((side * (c.x - shift) - 0.07).abs() - 0.07, 1.0),
            fur * 0.15,
        )
    w = 0.05 + 0.03 * q["nose_size"]
    drop = (c.y - 0.34) / 0.08
    nose = c.edge(torch.maximum((c.x - shift).abs() - w * (1 - drop), -drop * 0.08), 1.0) * c.edge(
        drop - 1, 0.08
    )
    c.paint(nose, torch.tensor([[0.70, 0.38, 0.38]]))
    warm = (p["light_warm"] - 0.5)[:, None, None]
    c.rgb[:, 0] *= 1 + 0.16 * warm
    c.rgb[:, 2] *= 1 - 0.30 * warm
    return c.rgb.clamp(0, 1)
