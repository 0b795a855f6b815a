"""What the factor distance consists of: the domain's part, and the sum of the factors' parts.

The factor distance joins the domain's probability and all factors in one distance. Records hold
the distance of each of them alone too (`by_part`); these do not add up to the value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.api.plain import Record
from fsig_bench.report.inference.scores import Runs
from fsig_bench.report.inference.units import mean_by_chance, units_of

DISTANCE = "factor_distance"
DOMAIN = "domain"  # the part that is no factor


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The factor distance of one run."""

    domain: float
    by_factor: Mapping[str, float]
    value: float

    @property
    def factors(self) -> float:
        """The sum of the factors' parts, without the domain's."""
        return sum(self.by_factor.values())


def parts_of(record: Record) -> Parts | None:
    """The parts that a record holds; None where it has no factor distance or no parts."""
    node = record["metrics"].get(DISTANCE, {})
    parts, value = node.get("by_part"), node.get("value")
    if value is None or not parts or DOMAIN not in parts:
        return None
    factors = {name: part for name, part in parts.items() if name != DOMAIN}
    return Parts(domain=parts[DOMAIN], by_factor=factors, value=value)


def by_run(
    records: Sequence[Record], read: Callable[[Parts], float]
) -> dict[tuple[str, str], Runs]:
    """(method, target) -> what is read off the parts of each run."""
    found: dict[tuple[str, str], list[tuple[Record, float]]] = defaultdict(list)
    for r in records:
        parts = parts_of(r)
        if parts is not None:
            found[r["method"], r["dataset"]].append((r, read(parts)))
    return {place: mean_by_chance(runs) for place, runs in found.items()}


def means_of(
    records: Sequence[Record], read: Callable[[Parts], float]
) -> dict[tuple[str, str], float]:
    """(method, target) -> the mean of what is read off its runs."""
    return {place: units_of(runs).mean for place, runs in by_run(records, read).items()}
