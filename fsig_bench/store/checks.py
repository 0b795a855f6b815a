"""Checks of single JSON values, to be put together into the schema of a file.

Each check says what a value has to be, or None where it is that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

Check = Callable[[object], str | None]

LARGEST = 1e15  # of any number that is shown
NAME = re.compile(r"\w[\w .@+-]{0,149}")
HEX = re.compile(r"[0-9a-f]{8,128}")


def number(low: float = -LARGEST, *, none: bool = False) -> Check:
    """A finite number from `low`; None too, if `none`."""

    def check(value: object) -> str | None:
        if none and value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            if math.isfinite(value) and low <= value <= LARGEST:
                return None
        return f"a finite number from {low:g} to {LARGEST:g}{' or null' if none else ''}"

    return check


def whole(low: int, high: int, *, none: bool = False) -> Check:
    """A whole number from `low` to `high`; None too, if `none`."""

    def check(value: object) -> str | None:
        if none and value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return None
        return f"a whole number from {low} to {high}{' or null' if none else ''}"

    return check


def text(value: object) -> str | None:
    """Text of any length."""
    return None if isinstance(value, str) else "text"


def optional_text(value: object) -> str | None:
    """Text or None."""
    return None if value is None or isinstance(value, str) else "text or null"


def line(value: object) -> str | None:
    """A line of text, as tables show it."""
    fits = isinstance(value, str) and 0 < len(value) <= 300 and not re.search(r"[\r\n\t]", value)
    return None if fits else "a line of 1 to 300 characters"


def name(value: object) -> str | None:
    """What may be a part of a path."""
    if isinstance(value, str) and NAME.fullmatch(value):
        return None
    return "a name of 1 to 150 letters, digits, spaces and signs of _.@+-, a letter or digit first"


def hexadecimal(value: object) -> str | None:
    """A digest, or the start of one."""
    fits = isinstance(value, str) and HEX.fullmatch(value)
    return None if fits else "8 to 128 hexadecimal digits"


def one_of(*known: str) -> Check:
    """One of some words."""
    return lambda value: None if value in known else f"one of {', '.join(known)}"


def flag(value: object) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else "true or false"


def listed(each: Check) -> Check:
    """A list whose values all fit."""

    def check(value: object) -> str | None:
        if not isinstance(value, list):
            return "a list"
        return next((f"a list, each {wrong}" for v in value if (wrong := each(v))), None)

    return check


def mapped(each: Check | None = None, *, key: Check = text, none: bool = False) -> Check:
    """An object whose keys and values all fit; None too, if `none`."""

    def check(value: object) -> str | None:
        if none and value is None:
            return None
        if not isinstance(value, dict):
            return "an object"
        for k, v in value.items():
            if wrong := key(k):
                return f"an object whose keys are each {wrong}"
            if each is not None and (wrong := each(v)):
                return f"an object with {str(k)[:60]!r} as {wrong}"
        return None

    return check


def fields(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with fields of its own; others are passed over."""
    known = {**required, **(optional or {})}

    def check(value: object) -> str | None:
        if not isinstance(value, dict):
            return "an object"
        for field in required:
            if field not in value:
                return f"an object with the field {field}"
        for field, inner in value.items():
            if (fits := known.get(field)) and (wrong := fits(inner)):
                return f"an object with {field} as {wrong}"
        return None

    return check
