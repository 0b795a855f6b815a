"""Strips of samples below each other: methods on the same shots, of equal seed and draw. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fsig_bench.api.plain import Record
from fsig_bench.report.html.links import run_label, run_page
from fsig_bench.report.html.pictures import Sheet
from fsig_bench.report.html.rows import Row, setting_id
from fsig_bench.report.html.symbols import Sign, sign_of
from fsig_bench.report.inference.units import Chance, chance_of

StripOf = Callable[[Record], Sheet | None]
ShotsOf = Callable[[Record], "Sheet | str"]
UNLIKE = ("other shots", "another seed", "another draw")  # in the order of `Chance`


@dataclass(frozen=True, kw_only=True)
class StripRow:
    """Eight samples of one method."""

    label: str
    sign: Sign
    control: bool
    strip: Sheet | None
    href: str
    title: str
    unlike: tuple[str, ...]  # what the run does not share with the block's, of UNLIKE


@dataclass(frozen=True, kw_only=True)
class StripBlock:
    """One target: its shots, and samples of each method on them."""

    target: str
    shots: Sheet | str  # why there are none, where it is a text
    rows: tuple[StripRow, ...]
    lacking: tuple[str, ...]  # methods without a picture

    @property
    def unlike(self) -> tuple[str, ...]:
        """What some row does not share with the others, of UNLIKE."""
        return tuple(word for word in UNLIKE if any(word in row.unlike for row in self.rows))


def beside(
    record: Record, rows: Sequence[Row], strip_of: StripOf, shots_of: ShotsOf
) -> StripBlock | None:
    """A run's samples, then those of the other methods on the same shots; None without any.

    Of each method the run with the same seed and draw is taken, or else the `nearest`.
    """
    chance = chance_of(record)
    place = record["dataset"], chance.subset
    lines: list[StripRow] = []
    for row in rows:
        alike = [r for r in row.records if (r["dataset"], chance_of(r).subset) == place]
        if not alike or setting_id(record) != row.setting:
            continue
        own = [r for r in alike if r["run_id"] == record["run_id"]]
        line = strip_row(row, own[0] if own else nearest(alike, chance), chance, strip_of)
        lines = [line, *lines] if own else [*lines, line]
    shown = tuple(line for line in lines if line.strip)
    if not shown:
        return None
    return StripBlock(
        target=record["dataset"],
        shots=shots_of(record),
        rows=shown,
        lacking=tuple(line.label for line in lines if not line.strip),
    )


def strip_block(
    target: str, rows: Sequence[Row], strip_of: StripOf, shots_of: ShotsOf
) -> StripBlock:
    """The strips of one target, of the `common_chance` or the run that is `nearest` to it."""
    own = [row for row in rows if row.dataset == target]
    chance = common_chance(own)
    chosen = [(row, nearest(row.records, chance)) for row in own]
    lines = [strip_row(row, record, chance, strip_of) for row, record in chosen]
    first = next(record for _, record in chosen if chance_of(record) == chance)
    return StripBlock(
        target=target,
        shots=shots_of(first),
        rows=tuple(line for line in lines if line.strip),
        lacking=tuple(line.label for line in lines if not line.strip),
    )


def common_chance(rows: Sequence[Row]) -> Chance:
    """The subset, seed and draw that most rows have a run of; of several the lowest."""
    count = Counter(chance for row in rows for chance in {chance_of(r) for r in row.records})
    return min(count, key=lambda chance: (-count[chance], chance))


def nearest(records: Sequence[Record], chance: Chance) -> Record:
    """The run of this subset, seed and draw; else of the subset and draw, else of the subset."""

    def distance(record: Record) -> tuple[bool, ...]:
        own = chance_of(record)
        return own.subset != chance.subset, own.draw != chance.draw, own.seed != chance.seed

    return min(records, key=distance)


def strip_row(row: Row, record: Record, chance: Chance, strip_of: StripOf) -> StripRow:
    """The first samples of one run of a row, in a block of runs of `chance`."""
    pairs = zip(UNLIKE, chance_of(record), chance, strict=True)
    return StripRow(
        label=row.method,
        sign=sign_of(record),
        control=row.kind == "control",
        strip=strip_of(record),
        href=run_page(record),
        title=run_label(record),
        unlike=tuple(word for word, own, wanted in pairs if own != wanted),
    )
