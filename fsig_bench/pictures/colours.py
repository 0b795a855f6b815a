"""The pictures of a run. One colour per role everywhere (Okabe and Ito's colour-blind-safe set)."""

from __future__ import annotations

ROLE_COLOURS = {
    "source": "#8c8c8c",
    "target": "#56b4e9",
    "generated": "#d55e00",
    "shots": "#f0e442",
}
INK = "#1a1a1a"
