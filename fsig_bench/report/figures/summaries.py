"""Records to the few numbers that figures draw. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from fsig_bench.api.plain import Json, Record
from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.inference.units import Units, mean_by_chance, units_of
from fsig_bench.report.records import comparable_setting
from fsig_bench.report.variants import main_variant

Value = Callable[[Record], float | None]


def metric(name: str) -> Value:
    """A metric's value in the unit of its heading."""

    def value(record: Record) -> float | None:
        found = record["metrics"].get(name, {}).get("value")
        return None if found is None else found * metric_card(name, [record]).factor

    return value


def wall_s(record: Record) -> float:
    """Seconds of adapting and sampling; scoring is the harness's cost, not the method's."""
    return float(record["timing_s"]["adapt"] + record["timing_s"]["sample"])


def cards(records: Sequence[Record]) -> dict[str, Json]:
    """Each method's card."""
    return {r["method"]: r["config"]["method"]["card"] for r in records}


def pairs(
    records: Sequence[Record], x: Value, y: Value
) -> dict[str, dict[str, tuple[Units, Units]]]:
    """By dataset and method: (x, y) over the runs that have both."""
    found: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for r in records:
        if x(r) is not None and y(r) is not None:
            found[r["dataset"]][r["method"]].append(r)
    return {
        d: {m: (units(own, x), units(own, y)) for m, own in sorted(by.items())}
        for d, by in sorted(found.items())
    }


def units(records: Sequence[Record], value: Value) -> Units:
    """The independent values of records of one method on one target that have the value."""
    return units_of(mean_by_chance((r, v) for r in records if (v := value(r)) is not None))


def most_frequent(records: Sequence[Record]) -> list[Record]:
    """The records of the setting that most share, each method under its most frequent settings."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        groups[str(comparable_setting(dict(r)))].append(r)
    return _main(max((groups[key] for key in sorted(groups)), key=len))


def _main(records: Sequence[Record]) -> list[Record]:
    return list(main_variant([dict(r) for r in records]))


def over_shots(records: Sequence[Record]) -> list[Record]:
    """The records that differ in k alone, of the setting that has most k; empty below two."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        suite, protocol, version, _, count = comparable_setting(dict(r))
        groups[str((suite, protocol, version, count))].append(r)
    best = max(
        (groups[key] for key in sorted(groups)), key=lambda g: (len({r["k"] for r in g}), len(g))
    )
    own = _main(best)
    return own if len({r["k"] for r in own}) > 1 else []


def pareto_front(points: Sequence[tuple[float, float]], *, x_higher_is_better: bool) -> list[int]:
    """Indices of the points that no other beats, by ascending x; lower y is better.

    A point is beaten by one that is at least as good in both and better in one.
    """
    sign = -1.0 if x_higher_is_better else 1.0
    own = [(sign * x, y) for x, y in points]

    def beaten(p: tuple[float, float]) -> bool:
        return any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in own)

    return sorted((i for i, p in enumerate(own) if not beaten(p)), key=lambda i: points[i])
