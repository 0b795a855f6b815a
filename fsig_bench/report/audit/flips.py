"""Pairs of methods whose order another protocol's rules turn round, on the same samples."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations

from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.inference.intervals import RISK, Estimate, estimate, holm
from fsig_bench.report.inference.paired import paired_units
from fsig_bench.report.inference.units import Chance

Key = tuple[str, str]  # protocol, metric
MOST_NAMED = 8  # pairs of methods that the text names


@dataclass(frozen=True, kw_only=True)
class Value:
    """One metric of one run under one protocol's rules."""

    protocol: str
    metric: str
    dataset: str
    method: str
    subset: int
    seed: int
    draw: int
    samples: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Order:
    """Two methods on one target under two protocols."""

    dataset: str
    first: str
    second: str
    before: float  # difference of the means, first less second, under the one protocol
    after: float
    beyond_chance: bool  # both differences, after Holm's correction over the comparison

    @property
    def flips(self) -> bool:
        """Whether the order is another one; a tie is no order."""
        return self.before * self.after < 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric under two protocols."""

    metric: str
    protocols: tuple[str, str]
    orders: tuple[Order, ...]

    @property
    def share(self) -> Estimate:
        """The share of pairs that flip, target by target: the target is the unit."""
        by_target: dict[str, list[bool]] = defaultdict(list)
        for order in self.orders:
            by_target[order.dataset].append(order.flips)
        return estimate([sum(own) / len(own) for own in by_target.values()])


def to_csv(values: Sequence[Value]) -> str:
    """One line a value, in eight significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Value)], lineterminator="\n")
    writer.writeheader()
    for value in values:
        writer.writerow(asdict(value) | {"value": f"{value.value:.8g}"})
    return text.getvalue()


def from_csv(text: str) -> list[Value]:
    """What `to_csv` wrote."""
    kinds = {"int": int, "float": float, "str": str}
    kind_of = {f.name: kinds[str(f.type)] for f in fields(Value)}
    return [
        Value(**{key: kind_of[key](cell) for key, cell in node.items()})
        for node in csv.DictReader(io.StringIO(text))
    ]


def comparisons(values: Sequence[Value]) -> list[Comparison]:
    """The first protocol with each other one, by every metric with a direction that both have."""
    runs: dict[Key, dict[tuple[str, str], dict[Chance, float]]] = {}
    for v in values:
        if math.isfinite(v.value) and metric_card(v.metric).claimed in ("lower", "higher"):
            place = runs.setdefault((v.protocol, v.metric), {}).setdefault(
                (v.dataset, v.method), {}
            )
            place[Chance(v.subset, v.seed, v.draw)] = v.value
    protocols = list(dict.fromkeys(v.protocol for v in values))
    found = []
    for other in protocols[1:]:
        for metric in dict.fromkeys(v.metric for v in values if v.protocol == other):
            sides = [runs.get((name, metric), {}) for name in (protocols[0], other)]
            if orders := orders_of(*sides):
                pair = protocols[0], other
                found.append(Comparison(metric=metric, protocols=pair, orders=tuple(orders)))
    return found


def orders_of(
    one: Mapping[tuple[str, str], Mapping[Chance, float]],
    other: Mapping[tuple[str, str], Mapping[Chance, float]],
) -> list[Order]:
    """Every pair of methods on every target that both protocols scored."""
    places = sorted(one.keys() & other.keys())
    estimates: dict[tuple[str, str, str], tuple[Estimate, Estimate]] = {}
    for (target, first), (also, second) in combinations(places, 2):
        if target == also:
            units = [
                paired_units(runs[target, first], runs[target, second]) for runs in (one, other)
            ]
            if units[0] is not None and units[1] is not None:
                before, after = (estimate(u.values, u.mean) for u in units if u is not None)
                estimates[target, first, second] = before, after
    tests = {
        (*place, side): e.p
        for place, pair in estimates.items()
        for side, e in enumerate(pair)
        if e.p is not None
    }
    decided = {key for key, p in holm(tests).items() if p <= RISK}
    return [
        Order(
            dataset=place[0],
            first=place[1],
            second=place[2],
            before=before.mean,
            after=after.mean,
            beyond_chance=all((*place, side) in decided for side in range(2)),
        )
        for place, (before, after) in estimates.items()
    ]


def share_text(share: Estimate) -> str:
    """In percent, with the interval over targets where there are several."""
    text = f"{100 * share.mean:.0f} %"
    if share.low is None or share.high is None:
        return text
    return f"{text} ({100 * max(share.low, 0):.0f} to {100 * min(share.high, 1):.0f})"


def often_flipped(found: Sequence[Comparison]) -> list[tuple[str, str, int, int]]:
    """Pairs of methods, how often they flip over targets and protocols, and of how many orders."""
    flipped, all_orders = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for comparison in found:
        for order in comparison.orders:
            all_orders[order.first, order.second] += 1
            flipped[order.first, order.second] += order.flips
    ranked = sorted(flipped, key=lambda pair: (-flipped[pair] / all_orders[pair], pair))
    return [(*pair, flipped[pair], all_orders[pair]) for pair in ranked if flipped[pair]]


def markdown(values: Sequence[Value]) -> str:
    """How often, and which pairs."""
    found = comparisons(values)
    lines = [
        "| metric | protocols | pairs of methods on a target | flip | flip beyond chance |",
        "|---|---|--:|--:|--:|",
    ]
    for c in found:
        decided = sum(order.flips and order.beyond_chance for order in c.orders)
        lines.append(
            f"| {metric_card(c.metric).heading} | {' and '.join(c.protocols)} | {len(c.orders)} | "
            f"{share_text(c.share)} | {decided} |"
        )
    note = (
        "In brackets stands Student's 95 % interval, with the target as the unit. A flip is beyond "
        "chance where both protocols tell the pair apart over its runs, after Holm's correction "
        "over the line."
    )
    parts = ["\n".join(lines), note]
    for metric in dict.fromkeys(c.metric for c in found):
        often = often_flipped([c for c in found if c.metric == metric])[:MOST_NAMED]
        named = ", ".join(f"{a} and {b} ({n} of {total})" for a, b, n, total in often)
        heading = metric_card(metric).heading
        parts.append(f"By {heading}, most often: {named}." if named else f"By {heading}: none.")
    return "\n\n".join(parts) + "\n"
