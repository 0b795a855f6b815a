"""Whether a number of ours lies where the printed one says that it should.

A band comes from the table's `expected`, where reruns are known; else from the printed spread, two
deviations either side; else it is assumed (ASSUMED), and the verdict says so. Of a printed number
that was scored under another protocol, or under none that is known here, nothing follows for ours:
there only a table's `expected` gives a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fsig_bench.report.published import Names
from fsig_bench.report.tables.model import Column, Panel, Row, TableCell
from fsig_bench.report.tables.spec import ExpectedSpec, TableSpec

ASSUMED = 0.07  # of the printed number: about the widths that the known bands of CRDI have
NEAR = 0.5  # of a band's width beyond its edges


@dataclass(frozen=True, kw_only=True)
class Band:
    """Where a rerun should land."""

    low: float
    high: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """On one re-run number."""

    word: Literal["inside", "near", "outside"]
    band: Band
    decimals: int
    look_at: tuple[str, ...]  # where the cause may lie, if the number is not inside

    def __str__(self) -> str:
        low, high = (f"{v:.{self.decimals}f}" for v in (self.band.low, self.band.high))
        text = f"{self.word} {low} to {high} ({self.band.why})"
        if self.word == "outside" and self.look_at:
            text += f"; look at: {'; '.join(self.look_at)}"
        return text


def band_of(printed: TableCell, expected: ExpectedSpec | None) -> Band | None:
    """The band around a printed number; None where nothing is printed."""
    if printed.value is None:
        return None
    if expected is not None:
        return Band(low=expected.low, high=expected.high, why=expected.why)
    if printed.std:
        width, why = 2 * printed.std, "two of the printed deviations either side"
    else:
        width = ASSUMED * abs(printed.value)
        why = f"no spread is printed: {ASSUMED:.0%} either side of {printed.value:g} are assumed"
    return Band(low=printed.value - width, high=printed.value + width, why=why)


def word_of(value: float, band: Band) -> Literal["inside", "near", "outside"]:
    """Where a number lies."""
    margin = NEAR * (band.high - band.low)
    if band.low <= value <= band.high:
        return "inside"
    return "near" if band.low - margin <= value <= band.high + margin else "outside"


def verdict(
    spec: TableSpec, row: str, column: Column, printed: TableCell, own: TableCell, names: Names
) -> Verdict | None:
    """On a re-run cell; None where a number is missing, or there is no band.

    A printed number makes a band only for those that were scored as it was.

    Args:
        spec: of the table.
        row: the method, as printed.
        column: the re-run one.
        printed: the paper's number.
        own: ours, under the column's protocol.
        names: what the families of printed numbers are.
    """
    place = row, column.domain, column.metric, column.shots
    expected = next((e for e in spec.expected if e.place == place), None)
    alike = not names.scored_otherwise(printed.like, column.protocol)
    band = band_of(printed, expected) if expected or alike else None
    if own.value is None or band is None:
        return None
    return Verdict(
        word=word_of(own.value, band),
        band=band,
        decimals=column.decimals,
        look_at=spec.look_at.get(row, ()),
    )


def rerun_pairs(panels: Sequence[Panel]) -> Iterator[tuple[Row, Column, TableCell, TableCell]]:
    """Row, re-run column, printed cell and re-run cell, in the order of reading."""
    for panel in panels:
        for row in panel.rows:
            printed = TableCell()
            for column, cell in zip(panel.columns, row.cells, strict=True):
                if column.kind == "paper":
                    printed = cell
                elif column.kind == "rerun":
                    yield row, column, printed, cell


def verdicts_of(spec: TableSpec, panels: Sequence[Panel], names: Names) -> list[str]:
    """A sentence on each re-run number that compares with the printed one beside it."""
    sentences = []
    for row, column, printed, cell in rerun_pairs(panels):
        if found := verdict(spec, row.label, column, printed, cell, names):
            value = f"{cell.value:.{column.decimals}f}"
            what = f"{row.label}, {column.domain}, {column.metric}, {column.shots} shots"
            sentences.append(f"{what}: {value} is {found}.")
    return sentences
