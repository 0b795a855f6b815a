"""How many images a metric needs."""

from __future__ import annotations

from collections.abc import Set


def too_few(needs: Set[str], *, real: int, fake: int, k: int) -> str | None:
    """Why there are too few images for a metric; None if there are enough.

    Args:
        needs: the metric's.
        real: images of the reference.
        fake: samples.
        k: the neighbours that the metric looks at, where it looks at any.
    """
    fewest = min(real, fake)
    if "neighbours" in needs and fewest <= k:
        return f"needs at least {k + 1} images of either side for {k} neighbours, has {fewest}"
    if "four real" in needs and real < 4:
        return f"needs at least four images in the reference, which has {real}"
    if "pairs" in needs and fewest < 2:
        short = "the reference has" if real < 2 else "the samples are"
        return f"needs at least two images of either side, and {short} {fewest}"
    return None
