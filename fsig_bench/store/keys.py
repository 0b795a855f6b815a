"""What every key of the store is made with."""

from __future__ import annotations

import hashlib
import json
from typing import Any

STAGE_VERSION = 1  # raise when a change of the code changes what a stage makes

# Keys of a config that never change pixels beyond rounding.
NOT_IN_KEY = ("device", "card", "groups_at_once", "checkpointing")


def digest(value: Any) -> str:
    """sha256 of any JSON value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
