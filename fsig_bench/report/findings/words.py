"""Small pieces of the page's text."""

from __future__ import annotations

from collections.abc import Sequence


def between(low: float, high: float) -> str:
    """An interval of taus in brackets."""
    return f"[{max(low, -1):.2f}, {min(high, 1):.2f}]"


def p_text(p: float) -> str:
    """A p-value in two digits."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def listed_or(words: Sequence[str]) -> str:
    """a; a or b; a, b or c."""
    *most, last = words
    return f"{', '.join(most)} or the {last}" if most else last


def one_in(p: float) -> str:
    """A small p-value as one in how many."""
    return f"1 in {1 / p:,.0f}"
