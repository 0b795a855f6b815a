"""Settings that must be one of a few words."""

from __future__ import annotations

from typing import Literal, get_args, get_origin, get_type_hints


def check_choices(settings: object) -> None:
    """Checks the `Literal` fields of a dataclass, which Python itself does not.

    Raises:
        ValueError: a field holds another value; the message lists the choices.
    """
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ValueError(f"{name}={value!r}: choose one of {', '.join(get_args(hint))}")
