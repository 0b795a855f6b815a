"""Ranks of methods over targets, with a test only where there are enough targets.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006: Friedman's
test, then Nemenyi's critical difference of mean ranks.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import metric_card

ENOUGH_TARGETS = 5
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Mean ranks, 1 is best, over the targets where every method has a value."""

    targets: int
    mean: Mapping[str, float]
    p_value: float | None  # Friedman's; None where there are too few targets
    critical: float | None  # Nemenyi's difference of mean ranks at 5 %


def ranks(scores: Mapping[str, Mapping[str, float]], *, lower_is_better: bool) -> Ranks | None:
    """From method -> target -> score; None with fewer than two methods or no common target."""
    shared = sorted(set.intersection(*(set(s) for s in scores.values()))) if scores else []
    if len(scores) < 2 or not shared:
        return None
    sign = 1 if lower_is_better else -1
    names = sorted(scores)
    rows = [stats.rankdata([sign * scores[m][t] for m in names]) for t in shared]
    mean = {m: statistics.fmean(row[i] for row in rows) for i, m in enumerate(names)}
    n, k = len(shared), len(names)
    p_value = critical = None
    if n >= ENOUGH_TARGETS and k >= 3:
        p_value = float(stats.friedmanchisquare(*zip(*rows, strict=True)).pvalue)
        q = float(stats.studentized_range.ppf(LEVEL, k, math.inf)) / math.sqrt(2)
        critical = q * math.sqrt(k * (k + 1) / (6 * n))
    return Ranks(targets=n, mean=mean, p_value=p_value, critical=critical)


def rank_line(records: Sequence[Record], metric: str) -> str | None:
    """Mean ranks of the methods (no controls) in one sentence; None where there are none."""
    shown_as = metric_card(metric, records)
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for r in records:
        card, value = r["config"]["method"]["card"], r["metrics"].get(metric, {}).get("value")
        if card["kind"] == "method" and value is not None:
            scores[card["label"]][r["dataset"]].append(value)
    means = {m: {t: statistics.fmean(v) for t, v in by.items()} for m, by in scores.items()}
    most = max((len(by) for by in means.values()), default=0)
    full = {m: by for m, by in means.items() if len(by) == most}
    found = ranks(full, lower_is_better=shown_as.better == "lower") if shown_as.arrow else None
    if found is None:
        return None
    order = sorted(found.mean.items(), key=lambda pair: (pair[1], pair[0]))
    text = f"Mean rank by {shown_as.heading} over {found.targets} targets: "
    text += ", ".join(f"{m} {v:.2f}" for m, v in order)
    if short := sorted(set(means) - set(full)):
        text += f"; not ranked, having fewer targets: {', '.join(short)}"
    if found.p_value is None:
        return f"{text} (too few targets or methods for a test)."
    return (
        f"{text} (Friedman p = {found.p_value:.2g}; ranks closer than {found.critical:.2f} "
        "are not told apart, Nemenyi 5 %)."
    )
