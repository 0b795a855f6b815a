"""Which process of a team this is."""

from __future__ import annotations

import os


def size() -> int:
    """Members of the team; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this member; 0 is the one who writes."""
    return int(os.environ.get("RANK", "0")) if size() > 1 else 0
