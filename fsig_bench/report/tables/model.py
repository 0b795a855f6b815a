"""What a table is once it is built: nothing here knows where numbers come from or how they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fsig_bench.report.inference.units import Chance, Units

Kind = Literal["paper", "rerun", "ours"]
Gap = Literal["", "unprinted", "absent", "run", "reason"]


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """A number with what it was made of, or a gap with why it is one."""

    value: float | None = None  # in the units of the table
    std: float | None = None
    units: Units | None = None  # of our own numbers: what `std` is the spread of
    values: tuple[float, ...] = ()  # of the single runs, as `runs`
    chances: tuple[Chance, ...] = ()  # as `runs`
    runs: tuple[str, ...] = ()  # run ids
    seeds: tuple[str, ...] = ()  # "seed" or "seed/subset", as `runs`
    like: str = ""  # family or protocol hash: numbers compare where it is equal
    comparable: bool = True  # whether numbers of the same `like` compare
    mark: Literal["", "best", "second"] = ""
    remarks: tuple[str, ...] = ()
    gap: Gap = ""
    why: str = ""  # of a gap: the command that fills it, or the reason
    source: str = ""  # of a printed number: paper, table and how it is known


@dataclass(frozen=True, kw_only=True)
class Column:
    kind: Kind
    domain: str  # as printed
    dataset: str  # the harness's name, or ""
    metric: str  # as printed
    harness_metric: str  # or ""
    heading: str  # of the group that this column stands in
    arrow: str
    decimals: int
    shots: int
    protocol: str  # of printed numbers: "", else the protocol's name
    family: str = ""  # of printed numbers: the one that all of them have, or ""
    like_real: bool = False  # best where real images score the same

    @property
    def lower_is_better(self) -> bool:
        return self.arrow == "↓"


@dataclass(frozen=True, kw_only=True)
class Row:
    label: str
    harness_method: str  # or ""
    cells: tuple[TableCell, ...]
    family: str = ""  # of most of its printed numbers
    ranked: bool = True  # controls are not


@dataclass(frozen=True, kw_only=True)
class Panel:
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    title: str
    caption: str
    source: str  # which paper and table
    cite: tuple[str, ...]  # BibTeX keys
    panels: tuple[Panel, ...]
    legend: tuple[str, ...]  # sentences on how to read it
    left_out: tuple[str, ...]  # sentences on records that could not share a column
    verdicts: tuple[str, ...] = ()  # sentences: re-run numbers beside what is printed

    @property
    def families(self) -> tuple[str, ...]:
        """Every family of printed numbers, sorted."""
        cells = [
            cell
            for panel in self.panels
            for row in panel.rows
            for column, cell in zip(panel.columns, row.cells, strict=True)
            if column.kind == "paper" and cell.value is not None
        ]
        return tuple(sorted({cell.like for cell in cells}))
