"""From records to the numbers that are averaged, compared and ranked.

A metric with a direction is compared as it is. One whose best value is that of real images is
compared by its distance to `real` on the same target, from the run of `real` with the same shots
and draw, else from those with the same shots; a run without such a one is not compared.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import MetricCard, metric_card
from fsig_bench.report.inference.units import Chance, mean_by_chance

REAL = "real"  # the control that draws real images

Runs = Mapping[Chance, float]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One metric of records that share a table, in the unit of its heading."""

    card: MetricCard
    values: Mapping[tuple[str, str], Runs]  # (method, target) -> a value for each run
    compared: Mapping[tuple[str, str], Runs]  # the same, as it is ranked; {} where nothing is
    lower_is_better: bool  # of `compared`
    same_images: frozenset[str] = frozenset()  # methods that draw the same on several targets

    @property
    def compared_as(self) -> str:
        """What is compared, in words."""
        to_real = self.card.better == "like_real"
        return f"{self.card.heading}, distance to real" if to_real else self.card.heading

    def of(self, method: str) -> dict[str, Runs]:
        """A method's compared values by target."""
        return {t: runs for (m, t), runs in sorted(self.compared.items()) if m == method}


def scores_of(records: Sequence[Record], metric: str) -> Scores:
    """The values of one metric; runs without a value are left out.

    Args:
        records: of one suite, protocol, number of shots and of samples, each method under one
            setting; controls included.
        metric: a name that records hold.
    """
    card = metric_card(metric, records)
    found: dict[tuple[str, str], list[tuple[Record, float]]] = defaultdict(list)
    for r in records:
        value = r["metrics"].get(metric, {}).get("value")
        if value is not None:
            found[r["method"], r["dataset"]].append((r, value * card.factor))
    values = {place: mean_by_chance(runs) for place, runs in found.items()}
    compared: Mapping[tuple[str, str], Runs] = values
    if card.better == "like_real":
        compared = distances_to_real(values)
    elif card.better == "none":
        compared = {}
    return Scores(
        card=card,
        values=values,
        compared=compared,
        lower_is_better=card.better != "higher",
        same_images=drawing_the_same(records),
    )


def drawing_the_same(records: Sequence[Record]) -> frozenset[str]:
    """The methods with runs on different targets that drew the same images."""
    targets: dict[tuple[str, str], set[str]] = defaultdict(set)
    for r in records:
        targets[r["method"], str(r.get("pixels_sha256", r["run_id"]))].add(r["dataset"])
    return frozenset(method for (method, _), where in targets.items() if len(where) > 1)


def distances_to_real(values: Mapping[tuple[str, str], Runs]) -> dict[tuple[str, str], Runs]:
    """How far each run is from real images; what has no run of `real` beside it is left out."""
    found = {
        (method, target): distances(runs, values[REAL, target])
        for (method, target), runs in values.items()
        if method != REAL and (REAL, target) in values
    }
    return {place: runs for place, runs in found.items() if runs}


def distances(runs: Runs, real: Runs) -> dict[Chance, float]:
    """How far each run is from real images beside the same shots; others are left out.

    A run is compared with the run of `real` that has its shots and draw. Where there is none it
    is compared with all that have its shots, but only if `runs` hold several sets of shots: one
    level for all runs would give every one of them the same error.
    """
    levels: dict[tuple[int, ...], list[float]] = defaultdict(list)
    several = len({chance.subset for chance in runs}) > 1
    for chance, value in real.items():
        levels[chance.subset, chance.draw].append(value)
        if several:
            levels[(chance.subset,)].append(value)
    found = {}
    for chance, value in runs.items():
        own = levels.get((chance.subset, chance.draw)) or levels.get((chance.subset,))
        if own:
            found[chance] = abs(value - statistics.fmean(own))
    return found
