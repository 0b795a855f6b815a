"""From records to the numbers that are averaged, compared and ranked.

A metric with a direction is compared as it is. One whose best value is that of real images is
compared by its distance to `real` on the same target, from the runs of `real` with the same shots
where there are any; without `real` it is not compared at all.
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
    )


def distances_to_real(values: Mapping[tuple[str, str], Runs]) -> dict[tuple[str, str], Runs]:
    """How far each run is from real images; targets without a run of `real` are left out."""
    return {
        (method, target): distances(runs, values[REAL, target])
        for (method, target), runs in values.items()
        if method != REAL and (REAL, target) in values
    }


def distances(runs: Runs, real: Runs) -> dict[Chance, float]:
    """How far each run is from the level of real images."""
    return {chance: abs(v - level_of(real, chance.subset)) for chance, v in runs.items()}


def level_of(real: Runs, subset: int) -> float:
    """The mean of real images beside these shots, else beside all."""
    same = [value for chance, value in real.items() if chance.subset == subset]
    return statistics.fmean(same or real.values())
