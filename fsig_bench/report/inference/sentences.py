"""What a ± holds, in the words of a caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_names
from fsig_bench.report.inference.scores import scores_of
from fsig_bench.report.inference.units import AXES, Units, units_of

CHANCE = {"subset": "the choice of the shots", "seed": "adapting", "draw": "drawing"}


def listed(words: Iterable[str]) -> str:
    """a; a and b; a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def holds_words(holds: Iterable[str]) -> str:
    """What a spread holds and what it leaves out, from the axes that differ from unit to unit.

    Where the shots differ and a seed does not, the spread still holds the part of this seed's
    effect that differs between sets of shots. The part that is the same for all sets cannot show.
    """
    there = [CHANCE[axis] for axis in AXES if axis in set(holds)]
    absent = [CHANCE[axis] for axis in AXES if CHANCE[axis] not in there]
    text = f"holds the chance of {listed(there)}"
    if not absent:
        return text
    if CHANCE["subset"] in absent:
        return f"{text} and leaves out {listed(absent)}"
    return (
        f"{text}, and the part of the effect of {listed(absent)} that differs between sets of "
        "shots; the part that is the same for all sets is not in it"
    )


def spread_sentences(cells: Iterable[Units]) -> list[str]:
    """What the ± of a table's cells are, from the units behind them; [] without any ±."""
    several = [units for units in cells if units.count > 1]
    if not several:
        return []
    kinds = sorted({units.holds for units in several}, key=lambda h: (-_count(several, h), h))
    counts = sorted({units.count for units in several})
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    over = f"{number} {unit_words(several)}"
    out = [f"± is the standard deviation over {over}; it {holds_words(kinds[0])}."]
    out += [
        f"In {_count(several, kind)} of {len(several)} cells it {holds_words(kind)}."
        for kind in kinds[1:]
    ]
    if not any("subset" in kind for kind in kinds):
        out.append(
            "All runs of a cell have one set of shots, so no number here says how a method does on "
            "other shots."
        )
    return out


def spread_of_records(records: Sequence[Record]) -> list[str]:
    """As `spread_sentences`, from records of one setting: those of their first metric."""
    scores = scores_of(records, metric_names(records)[0])
    return spread_sentences(map(units_of, scores.values.values()))


def unit_words(several: Iterable[Units]) -> str:
    """What is counted: sets of shots, or runs of one set."""
    axes = {units.axis for units in several}
    if axes == {"subset"}:
        return "sets of shots"
    return "runs or sets of shots" if "subset" in axes else "runs"


def _count(several: list[Units], holds: tuple[str, ...]) -> int:
    return sum(units.holds == holds for units in several)
