"""Does mini rank methods as papers do? Kendall's tau with every published table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.api.plain import Record
from fsig_bench.report.inference.scores import scores_of
from fsig_bench.report.inference.units import units_of
from fsig_bench.report.published import Names, Published

FEWEST = 3  # methods that a ranking needs to say anything


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One published ranking beside mini's, on the same target and by the same metric."""

    paper: str
    table: str
    metric: str  # as printed
    dataset: str
    methods: tuple[str, ...]
    tau: float
    p: float  # exact, or scipy's approximation where there are ties
    low: float | None  # Fieller's 95 % interval; None with four methods or fewer
    high: float | None

    @property
    def least_p(self) -> float:
        """The smallest p that an order of these methods has, where none are tied."""
        return 2 / math.factorial(len(self.methods))


def fieller(tau: float, count: int) -> tuple[float, float] | None:
    """The 95 % interval of Kendall's tau over `count` methods, by Fisher's z.

    Its variance is 0.437 / (count - 4): Fieller, Hartley and Pearson, "Tests for Rank Correlation
    Coefficients. I", Biometrika 44, 1957. None with four methods or fewer; a tau of 1 or -1 has z
    of the nearest tau that can occur.
    """
    if count <= 4:
        return None
    nearest = 1 - 2 / (count * (count - 1) / 2)
    z = math.atanh(max(-nearest, min(nearest, tau)))
    half = 1.96 * math.sqrt(0.437 / (count - 4))
    return math.tanh(z - half), math.tanh(z + half)


def printed_rankings(
    rows: Sequence[Published], names: Names, k: int
) -> dict[tuple[str, str, str, str], dict[str, float]]:
    """(paper, table, metric, dataset) -> a number for each method, scored alike at k shots."""
    families: dict[tuple[str, str, str, str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        known = row.harness_method and row.dataset and row.harness_metric
        if known and row.shots == k and names.families[row.family].comparable:
            place = row.paper, row.table, row.metric, str(row.dataset), row.family
            families[place][str(row.harness_method)] = row.value
    largest: dict[tuple[str, str, str, str], dict[str, float]] = {}
    for (paper, table, metric, dataset, _), own in families.items():
        if len(own) > len(largest.get((paper, table, metric, dataset), {})):
            largest[paper, table, metric, dataset] = own
    return largest


def rankings(
    records: Sequence[Record], rows: Sequence[Published], names: Names
) -> tuple[list[Ranking], int]:
    """The rankings that can be compared, and how many are printed on the records' targets.

    Args:
        records: of mini, of one setting.
        rows: every published number.
        names: what the printed names are here.
    """
    from scipy.stats import kendalltau

    printed = printed_rankings(rows, names, records[0]["k"])
    targets = {r["dataset"] for r in records}
    whole = {p: own for p, own in printed.items() if len(own) >= FEWEST and p[3] in targets}
    mini: dict[str, Mapping[tuple[str, str], float]] = {}
    found = []
    for (paper, table, metric, dataset), own in sorted(whole.items()):
        name = str(names.metrics[metric])
        if name not in mini:
            values = scores_of(records, name).values
            mini[name] = {place: units_of(runs).mean for place, runs in values.items()}
        methods = sorted(m for m in own if (m, dataset) in mini[name])
        if len(methods) < FEWEST:
            continue
        tau, p = kendalltau([own[m] for m in methods], [mini[name][m, dataset] for m in methods])
        if not math.isfinite(tau):  # one side has ties alone
            continue
        limits = fieller(float(tau), len(methods))
        found.append(
            Ranking(
                paper=paper,
                table=table,
                metric=metric,
                dataset=dataset,
                methods=tuple(methods),
                tau=float(tau),
                p=float(p),
                low=limits[0] if limits else None,
                high=limits[1] if limits else None,
            )
        )
    return found, len(whole)
