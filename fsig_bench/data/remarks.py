"""What is unusual about the images of a set that is being prepared: number, size, range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fsig_bench.data.reading import Seen

FLAT = 8  # of 255: an image whose values span less shows nothing


def check_count(role: str, count: int, expected: int | list[int]) -> str | None:
    """A remark where a set is not of the size that is known for it; fewer shots are an error."""
    low, high = expected if isinstance(expected, list) else (expected, expected)
    if low <= count <= high:
        return None
    if role == "shots" and count < low:
        raise ValueError(f"{count} shots found, {low} expected: another or an incomplete edition")
    wanted = f"{low} to {high}" if low < high else f"{low}"
    return f"{count} images for the {role}, {wanted} expected: another edition of the set?"


def remarks_on(
    role: str, seen: Sequence[Seen], expected: int | list[int], resolution: int
) -> list[str]:
    """What is unusual about a role's images: their number, size or range.

    Raises:
        ValueError: too few shots, or a shot of one colour.
    """
    found = [check_count(role, len(seen), expected)]
    flat = sum(s.span < FLAT for s in seen)
    if flat and role == "shots":
        raise ValueError(f"{flat} of {len(seen)} shots are of one colour; is the file damaged?")
    if flat:
        found.append(f"{flat} images for the {role} are of one colour")
    if small := sum(min(s.width, s.height) < resolution for s in seen):
        found.append(f"{small} images for the {role} are below {resolution} px: they are enlarged")
    if oblong := sum(s.width != s.height for s in seen):
        found.append(f"{oblong} images for the {role} are not square")
    return [f for f in found if f]


def sizes(seen: Sequence[Seen]) -> dict[str, int]:
    """How many images there are of each size."""
    return dict(sorted(Counter(f"{s.width}x{s.height}" for s in seen).items()))
