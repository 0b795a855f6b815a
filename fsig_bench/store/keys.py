"""What every key of the store is made with."""

from __future__ import annotations

import hashlib
import json

# Raise when a change of the runner changes what a stage makes: how it samples, scores, rounds.
# The code of methods, metrics and networks has marks of its own (`runner.fingerprint`).
STAGE_VERSION = 2

NOT_IN_KEY = ("device", "card")  # what a class is given or said to be, whatever it computes


def digest(value: object) -> str:
    """sha256 of any JSON value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
