"""LaTeX's S columns: numbers aligned at their points, with uncertainties and marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsig_bench.report.tables.model import TableCell


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the numbers of a column need."""

    whole: int  # digits before the point
    decimals: int
    spread: int  # digits of the uncertainty, 0 without any
    negative: bool
    after: str  # the longest text behind a number

    @property
    def column(self) -> str:
        """The column's type."""
        sign = "-" if self.negative else ""
        form = f"{sign}{self.whole}" + (f".{self.decimals}" if self.decimals else "")
        form += f"({self.spread})" if self.spread else ""
        space = f", table-space-text-post = {{{self.after}}}" if self.after else ""
        return f"S[table-format = {form}{space}]"


def shape_of(cells: Sequence[TableCell], decimals: int, after: Sequence[str]) -> Shape:
    """The shape of a column.

    Args:
        cells: of the column.
        decimals: that it shows.
        after: the text behind the number of each cell.
    """
    values = [cell.value for cell in cells if cell.value is not None and not cell.gap]
    spreads = [cell.std for cell in cells if cell.std is not None and not cell.gap]
    return Shape(
        whole=max((whole_digits(v, decimals) for v in values), default=1),
        decimals=decimals,
        spread=max((spread_digits(s, decimals) for s in spreads), default=0),
        negative=any(v < 0 for v in values),
        after=max(after, key=len, default=""),
    )


def whole_digits(value: float, decimals: int) -> int:
    """Digits before the point."""
    return len(f"{abs(value):.{decimals}f}".partition(".")[0])


def spread_digits(std: float, decimals: int) -> int:
    """Digits of an uncertainty, without leading zeros."""
    return len(f"{std:.{decimals}f}".replace(".", "").lstrip("0")) or 1


def number(cell: TableCell, shape: Shape, after: str) -> str:
    """A number of an S column; the best is bold, the second best underlined."""
    assert cell.value is not None
    plain = f"{cell.value:.{shape.decimals}f}"
    if cell.std is not None:
        plain += rf" \pm {cell.std:.{shape.decimals}f}"
    behind = f" {{{after}}}" if after else ""
    if cell.mark == "second":
        return underlined(cell, plain, shape, after)
    return (r"\bfseries " if cell.mark == "best" else "") + plain + behind


def underlined(cell: TableCell, plain: str, shape: Shape, after: str) -> str:
    """Siunitx cannot underline: the cell is text, with room for the digits that others have."""
    assert cell.value is not None
    before = "0" * (shape.whole - whole_digits(cell.value, shape.decimals))
    text = rf"\underline{{\num{{{plain}}}}}"
    text = (rf"\hphantom{{{before}}}" if before else "") + text
    if shape.spread and cell.std is None:
        text += rf"\hphantom{{\({{}}\pm{{}}\){'0' * shape.spread}}}"
    rest = after or (rf"\hphantom{{{shape.after}}}" if shape.after else "")
    return f"{{{text}{rest}}}"
