"""How each metric is shown: heading, decimals, direction, factor."""

from __future__ import annotations

# metric -> (heading, decimals, arrow, factor)
COLUMNS = {
    "fd": ("Frechet distance", 2, "↓", 1.0),
    "fd_infinity": ("Frechet distance, n to infinity", 2, "↓", 1.0),
    "kid": ("KID x 1000", 2, "↓", 1e3),
    "intra_lpips": ("Intra-LPIPS", 3, "↑", 1.0),
    "precision": ("precision", 2, "↑", 1.0),
    "recall": ("recall", 2, "↑", 1.0),
    "density": ("density", 2, "↑", 1.0),
    "coverage": ("coverage", 2, "↑", 1.0),
    "vendi": ("Vendi", 1, "↑", 1.0),
    "nearest_shot": ("nearest shot, LPIPS", 3, "", 1.0),
    "copy_rate": ("copy rate", 3, "↓", 1.0),
    "authpct": ("AuthPct", 2, "", 1.0),
    "lpips_diversity": ("LPIPS diversity", 3, "", 1.0),
    "sliced_w2": ("sliced Wasserstein", 2, "↓", 1.0),
    "rendered_precision": ("rendered precision", 2, "↑", 1.0),
    "factor_coverage": ("factor coverage", 3, "↑", 1.0),
    "source_leakage": ("source leakage", 3, "↓", 1.0),
}


LOWER_IS_BETTER = ("fd", "fd_infinity", "kid", "sliced_w2")
