"""Paints a human head from named factors, back to front."""

from __future__ import annotations

import torch
from torch import Tensor

from fsig_bench.faceworld.canvas import Canvas, hsv, noise_field, ramp, shifted, smooth
from fsig_bench.faceworld.hair import beard, hair_behind, hair_in_front
from fsig_bench.faceworld.head import Head

IRIS = [(0.22, 0.11, 0.05), (0.42, 0.34, 0.16), (0.28, 0.46, 0.42), (0.30, 0.55, 0.85)]
STRANDS = noise_field(512, 128, seed=11, stretch=6)
CLOUDS = noise_field(512, 8, seed=12)
ZOOM = 1.17  # the face fills the frame as in FFHQ crops


def background(c: Canvas, p: dict[str, Tensor], t: Tensor) -> None:
    """A softly lit wall with out-of-focus shapes."""
    light, hue = p["back_light"], p["back_hue"]
    near = hsv(hue, 0.34, 0.10 + 0.78 * light)
    far = hsv((hue + 0.08) % 1, 0.18, 0.20 + 0.78 * light)
    clouds = shifted(CLOUDS, t[:, 0], t[:, 1], c.size)
    mix = smooth(0.55 * clouds + 0.25 * (1 - c.y) * 0.5 + 0.2, 0.25, 0.75)
    c.rgb = near[:, :, None, None] + mix[:, None] * (far - near)[:, :, None, None]


def body(c: Canvas, h: Head, p: dict[str, Tensor]) -> None:
    """Shoulders, collar and neck."""
    b = h.q["baby"]
    rows = c.rows(0.3, 1.0)
    cloth = hsv(p["cloth_hue"], 0.55, 0.12 + 0.80 * p["cloth_light"])
    shoulders = c.ellipse(0.0, 1.46 + 0.06 * b, 1.08 - 0.26 * b, 0.62, rows)
    c.paint(shoulders, cloth, rows)
    x, y = c.x[:, rows], c.y[:, rows]
    c.shade(shoulders * smooth(x.abs(), 0.3, 1.0), 0.65, rows)
    width = 0.62 * h.rx
    neck = c.edge(torch.maximum((x.abs() - width), (y - 1.02 + 0.6 * x.abs())), 1.0)
    neck = neck * c.edge(h.cy - y, 1.0)
    c.paint(neck, h.skin * 0.80, rows)
    c.shade(neck * smooth(h.chin + 0.16 - y, 0.0, 0.2), 0.72, rows)


def face(c: Canvas, h: Head) -> Tensor:
    """Ears and the lit face; returns the face's mask."""
    q, x, y = h.q, c.x, c.y
    ear_rows = c.rows(-0.25, 0.55)
    for side in (-1.0, 1.0):
        ear = c.ellipse(
            side * (h.rx + 0.01) - 0.05 * q["yaw"], h.eye_y + 0.08, 0.075, 0.13, ear_rows
        )
        c.paint(ear, h.skin * 0.82, ear_rows)
    v = y - h.cy
    vv = torch.where(v > 0, v / h.down, v / h.up)
    taper = 0.34 - 0.40 * q["jaw"]
    u = (x - 0.02 * q["yaw"]) / (h.rx * (1 - taper * vv.clamp(0, 1)))
    r = (u * u + vv * vv).sqrt()
    mask = c.edge(r - 1, h.rx)
    # Lambert shading on a bulging disc, light from light_x and above.
    depth = (1 - 0.8 * (r * r).clamp(max=1)).sqrt()
    lit = 0.62 + 0.38 * depth + 0.24 * u * q["light_x"] - 0.10 * vv
    c.paint(mask, (h.skin[:, :, None, None] * lit[:, None]).clamp(max=1))
    cheek_rows = c.rows(0.0, 0.75)
    for side in (-1.0, 1.0):
        cheek = c.ellipse(
            h.shift + side * 0.55 * h.rx, h.nose_y + 0.02, 0.16, 0.12, cheek_rows, 9.0
        )
        rose = torch.cat([h.skin[:, :1] * 1.02, h.skin[:, 1:] * 0.78], 1).clamp(max=1)
        c.paint(cheek * (0.18 + 0.42 * q["baby"]) * mask[:, cheek_rows], rose, cheek_rows)
    return mask


def eyes(c: Canvas, h: Head, p: dict[str, Tensor]) -> None:
    """Whites, irises, lids and brows."""
    q, rows = h.q, c.rows(-0.5, 0.55)
    x, y = c.x[:, rows], c.y[:, rows]
    iris = ramp(p["eye_blue"], IRIS)
    rx = 0.084 + 0.066 * q["eye_size"]
    open_ = 0.18 + 0.62 * q["eye_open"]
    for side in (-1.0, 1.0):
        near = 1 - 0.10 * side * q["yaw"]
        cx = h.shift + side * (0.165 + 0.07 * q["eye_spacing"]) * near * (1 + 0.08 * q["baby"])
        ry = rx * open_
        c.paint(
            0.35 * c.ellipse(cx, h.eye_y - 0.01, rx * 1.45, rx * 1.1, rows, 5.0),
            h.skin * 0.62,
            rows,
        )
        white = c.ellipse(cx, h.eye_y, rx, ry, rows)
        c.paint(white, torch.tensor([[0.95, 0.94, 0.93]]), rows)
        gaze = cx + 0.02 * q["yaw"]
        r = rx * 0.60
        c.paint(white * c.ellipse(gaze, h.eye_y, r, r, rows), iris, rows)
        c.paint(white * c.ellipse(gaze, h.eye_y, r * 0.5, r * 0.5, rows), torch.zeros(1, 3), rows)
        glint = c.ellipse(
            gaze + 0.3 * r * (0.5 + q["light_x"].sign() * 0.5) - 0.1 * r,
            h.eye_y - 0.35 * r,
            r * 0.24,
            r * 0.24,
            rows,
        )
        c.paint(white * glint, torch.ones(1, 3), rows)
        u = (x - cx) / rx
        lid = h.eye_y - ry * (1 - u * u).clamp(min=0).sqrt()
        line = c.edge((y - lid).abs() - 0.014, 1.0) * c.edge(u.abs() - 1.05, rx)
        c.paint(0.85 * line, h.skin * 0.22, rows)
        thick = 0.008 + 0.030 * q["brow_thick"]
        w = side * (x - cx)  # from the inner end outwards
        arc = (
            h.eye_y
            - 0.115
            - 0.75 * rx * (open_ * 0.5 + 0.35)
            + (0.5 - q["brow_tilt"]) * 0.55 * w
            + 2.2 * w * w
        )
        brow = c.edge((y - arc).abs() - thick * (1 - 2.2 * w.clamp(min=0)), 1.0) * c.edge(
            w.abs() - 0.135, 1.0
        )
        alpha = (0.45 + 0.5 * q["brow_thick"]) * (1 - 0.45 * q["baby"])
        c.paint(brow * alpha, h.hair * 0.75, rows)


def nose(c: Canvas, h: Head) -> None:
    """A shaded bridge, a tip and two nostrils."""
    q, rows = h.q, c.rows(-0.1, 0.75)
    x, y = c.x[:, rows], c.y[:, rows]
    cx, w = h.shift * 1.35, 0.045 + 0.055 * q["nose_size"]
    along = ((y - h.eye_y) / (h.nose_y - h.eye_y)).clamp(0, 1)
    inside = smooth(y, h.eye_y, h.eye_y + 0.08) * c.edge(y - h.nose_y, 1.0)
    side = (x - cx) / (w * (0.45 + 0.55 * along))
    c.shade(
        inside * smooth(1.4 - (side.abs() - 0.7).abs() * 2, 0.0, 1.4) * (side * q["light_x"] < 0),
        0.84,
        rows,
    )
    c.paint(0.45 * inside * smooth(0.6 - side.abs(), 0.0, 0.6), (h.skin * 1.14).clamp(max=1), rows)
    c.shade(c.ellipse(cx, h.nose_y + 0.012, w * 1.15, 0.035, rows, 3.0), 0.80, rows)
    c.paint(
        0.6 * c.ellipse(cx, h.nose_y - 0.02, w * 0.7, 0.04, rows, 4.0),
        (h.skin * 1.1).clamp(max=1),
        rows,
    )
    for s in (-1.0, 1.0):
        nostril = c.ellipse(cx + s * 0.55 * w, h.nose_y + 0.012, 0.30 * w, 0.013, rows)
        c.paint(0.8 * nostril, h.skin * 0.28, rows)


def mouth(c: Canvas, h: Head) -> None:
    """Lips on a curve, teeth and a dark inside when open."""
    q, rows = h.q, c.rows(0.2, 1.0)
    smile, full = q["smile"], q["lip_full"]
    cx, w = h.shift * 1.1, 0.105 + 0.105 * q["mouth_width"] + 0.035 * smile
    u = (c.x[:, rows] - cx) / w
    y = c.y[:, rows] - (h.mouth_y - 0.13 * (smile - 0.35) * (u * u - 0.4))
    bow = (1 - u * u).clamp(min=0)
    gap = 0.11 * q["mouth_open"] * bow
    upper = (0.018 + 0.036 * full) * bow.sqrt() * (1 - 0.25 * smooth(0.25 - u.abs(), 0, 0.25))
    lower = (0.022 + 0.045 * full) * bow
    lip = torch.cat(
        [h.skin[:, :1] * 0.80 + 0.08, h.skin[:, 1:2] * 0.52, h.skin[:, 2:] * 0.55 + 0.02], 1
    )
    sides = c.edge(u.abs() - 1, w)
    c.paint(
        sides * c.edge(torch.maximum(-y - upper - gap * 0.3, y - gap * 0.7 - lower), 1.0), lip, rows
    )
    hole = (
        sides * c.edge(torch.maximum(-y - gap * 0.3, y - gap * 0.7), 1.0) * smooth(gap, 0.0, 0.02)
    )
    c.paint(hole, torch.tensor([[0.22, 0.05, 0.06]]), rows)
    teeth = hole * c.edge(y + gap * 0.3 - 0.4 * gap, 1.0) * (1 - 0.8 * q["baby"])
    c.paint(teeth, torch.tensor([[0.94, 0.92, 0.88]]), rows)
    c.paint(
        0.75 * sides * c.edge(y.abs() - 0.008, 1.0) * (1 - smooth(gap, 0, 0.02)), lip * 0.35, rows
    )


def glasses(c: Canvas, h: Head) -> None:
    """Rims, bridge and temples; lenses from clear to black."""
    q, rows = h.q, c.rows(-0.35, 0.5)
    x, y = c.x[:, rows], c.y[:, rows]
    on, dark = q["glasses"], q["shade"]
    grow = 1 + 0.22 * dark
    rx, ry = 0.175 * grow, 0.135 * grow
    rim_colour = torch.tensor([[0.08, 0.07, 0.08]])
    for side in (-1.0, 1.0):
        u = (x - h.shift - side * 0.205 * (1 + 0.06 * dark)) / rx
        v = (y - h.eye_y - 0.015) / ry
        r = (u.square().square() + v.square().square()).sqrt().sqrt()  # a squircle
        lens = c.edge(r - 1, ry)
        tint = (0.10 + 0.10 * (v + 1) * 0.5)[:, None].expand(-1, 3, -1, -1)
        c.paint(on * lens * smooth(dark, 0.0, 0.5) * (0.70 + 0.28 * dark), tint, rows)
        streak = lens * smooth(0.14 - (u + 0.8 * v + 0.5).abs(), 0.0, 0.1)
        c.paint(on * streak * 0.28, torch.ones(1, 3), rows)
        c.paint(on * c.edge((r - 1).abs() - 0.09, ry), rim_colour, rows)
        reach = side * (x - h.shift)
        temple = c.edge((y - h.eye_y + 0.02).abs() - 0.014, 1.0) * c.edge(0.36 * grow - reach, 1.0)
        c.paint(on * temple * c.edge(reach + side * h.shift - h.rx - 0.02, 1.0), rim_colour, rows)
    bridge = c.edge((y - h.eye_y + 0.01).abs() - 0.013, 1.0) * c.edge(
        (x - h.shift).abs() - 0.06, 1.0
    )
    c.paint(on * bridge, rim_colour, rows)


def portrait(p: dict[str, Tensor], t: Tensor, size: int) -> Tensor:
    """float32 [n, 3, size, size] in [0, 1] from factors p (name -> [n]) and textures t [n, 8]."""
    c = Canvas(len(t), size)
    background(c, p, t)
    h = Head(p)
    body(c, h, p)
    c.turn(p["roll"] * 0.24, 0.0, 0.45)
    c.zoom(ZOOM, 0.0, 0.30)
    strands = shifted(STRANDS, t[:, 2], t[:, 3], c.size)
    hair_behind(c, h, strands)
    mask = face(c, h)
    beard(c, h, mask, strands)
    eyes(c, h, p)
    nose(c, h)
    mouth(c, h)
    hair_in_front(c, h, strands)
    glasses(c, h)
    warm = (p["light_warm"] - 0.5)[:, None, None]
    c.rgb[:, 0] *= 1 + 0.16 * warm
    c.rgb[:, 2] *= 1 - 0.30 * warm
    return c.rgb.clamp(0, 1)
