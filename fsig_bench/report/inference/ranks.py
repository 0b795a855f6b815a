"""Ranks of methods over targets, with a test only where there are enough targets.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006: Friedman's
test, then Nemenyi's critical difference of mean ranks.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fsig_bench.api.plain import Record
from fsig_bench.report.inference.intervals import LEVEL, estimate
from fsig_bench.report.inference.paired import mean_flip
from fsig_bench.report.inference.reranking import SEED, Changes, order_changes
from fsig_bench.report.inference.scores import Scores, scores_of
from fsig_bench.report.inference.units import units_of

ENOUGH_TARGETS = 5


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Mean ranks, 1 is best, over the targets where every method has a value."""

    targets: int
    mean: Mapping[str, float]
    by_target: Mapping[str, tuple[float, ...]]  # the ranks that each mean is of
    p_value: float | None  # Friedman's; None where there are too few targets
    critical: float | None  # Nemenyi's difference of mean ranks at 5 %


def ranks(scores: Mapping[str, Mapping[str, float]], *, lower_is_better: bool) -> Ranks | None:
    """From method -> target -> score; None with fewer than two methods or no common target."""
    shared = sorted(set.intersection(*(set(s) for s in scores.values()))) if scores else []
    if len(scores) < 2 or not shared:
        return None
    sign = 1 if lower_is_better else -1
    names = sorted(scores)
    rows = [stats.rankdata([sign * rounded(scores[m][t]) for m in names]) for t in shared]
    by_target = {m: tuple(float(row[i]) for row in rows) for i, m in enumerate(names)}
    mean = {m: statistics.fmean(own) for m, own in by_target.items()}
    n, k = len(shared), len(names)
    p_value = critical = None
    if n >= ENOUGH_TARGETS and k >= 3:
        # Ties alone order nothing, and scipy's statistic is then 0 over 0.
        tied = all(len(set(row)) == 1 for row in rows)
        p_value = 1.0 if tied else float(stats.friedmanchisquare(*zip(*rows, strict=True)).pvalue)
        q = float(stats.studentized_range.ppf(LEVEL, k, math.inf)) / math.sqrt(2)
        critical = q * math.sqrt(k * (k + 1) / (6 * n))
    return Ranks(targets=n, mean=mean, by_target=by_target, p_value=p_value, critical=critical)


def rounded(score: float) -> float:
    """The score without its last bits, so that sums in another order are ties."""
    return float(f"{score:.12g}")


def labels_of(records: Sequence[Record]) -> dict[str, str]:
    """The label of each method, without controls."""
    cards = {r["method"]: r["config"]["method"]["card"] for r in records}
    return {name: card["label"] for name, card in cards.items() if card["kind"] == "method"}


def means_by_target(scores: Scores, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """Method -> target -> the mean that is ranked; methods without one are left out."""
    found = {
        method: {target: units_of(runs).mean for target, runs in scores.of(method).items()}
        for method in methods
    }
    return {method: by_target for method, by_target in found.items() if by_target}


def full_methods(means: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The methods that are ranked together: those that have all of some targets.

    Each method's targets are tried. The number of targets times the number of methods that have
    them all decides; where it is equal, the choice with more targets wins.
    """
    found: list[str] = []
    size = (0, 0)
    for targets in sorted({frozenset(by) for by in means.values()}, key=sorted):
        own = sorted(method for method, by in means.items() if targets <= by.keys())
        if (own_size := (len(targets) * len(own), len(targets))) > size:
            found, size = own, own_size
    return found


def ranked_means(
    means: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, Mapping[str, float]], list[str]]:
    """The means of the methods that are ranked together, on their common targets, and these."""
    full = full_methods(means)
    shared = sorted(set.intersection(*(set(means[m]) for m in full))) if full else []
    return {m: {t: means[m][t] for t in shared} for m in full}, shared


def mean_line(records: Sequence[Record], metric: str) -> str | None:
    """Each method's mean over the targets that all ranked methods have, with 95 % intervals.

    The target is the unit. None with fewer than two such targets.
    """
    scores, labels = scores_of(records, metric), labels_of(records)
    means, shared = ranked_means(means_by_target(scores, sorted(labels)))
    if len(shared) < 2:
        return None
    found = {labels[m]: estimate([own[t] for t in shared]) for m, own in means.items()}
    decimals = scores.card.decimals_for(e.mean for e in found.values())
    sign, parts = 1 if scores.lower_is_better else -1, []
    for label, e in sorted(found.items(), key=lambda pair: (sign * pair[1].mean, pair[0])):
        assert e.low is not None and e.high is not None  # there are two targets or more
        parts.append(
            f"{label} {e.mean:.{decimals}f} ({e.low:.{decimals}f} to {e.high:.{decimals}f})"
        )
    return (
        f"Mean {scores.compared_as} over {len(shared)} targets, 95 % interval with the target as "
        f"the unit: {', '.join(parts)}."
    )


def flip_line(records: Sequence[Record], metric: str) -> str | None:
    """How probable another order on new shots is; None where no target has runs of two sets."""
    scores, labels = scores_of(records, metric), labels_of(records)
    flip = mean_flip(scores, sorted(labels))
    if flip is None:
        return None
    means = ranked_means(means_by_target(scores, sorted(labels)))[0]
    found = ranks(means, lower_is_better=scores.lower_is_better)
    text = (
        f"On one new set of shots two methods change order by {scores.compared_as} with "
        f"probability {flip:.2f}, mean over pairs of methods and targets"
    )
    if found is not None:
        best = sorted(found.mean, key=lambda m: (found.mean[m], m))[:2]
        if (first := mean_flip(scores, best)) is not None:
            text += f"; the first two in mean rank with {first:.2f}"
    return f"{text}."


def rank_changes(scores: Scores, methods: Sequence[str]) -> Changes | None:
    """What new shots do to the mean ranks of methods, on the targets that all of these have.

    None with fewer than two methods, or where one has fewer than two sets of shots on a target.
    """
    means = means_by_target(scores, methods)
    shared = sorted(set.intersection(*map(set, means.values()))) if means else []
    if len(means) < 2 or not shared:
        return None
    return order_changes(
        {m: {t: scores.compared[m, t] for t in shared} for m in means},
        lower_is_better=scores.lower_is_better,
        generator=np.random.default_rng(SEED),
    )


def change_line(records: Sequence[Record], metric: str) -> str | None:
    """How probable another order by mean rank is; None where `rank_changes` is."""
    scores, labels = scores_of(records, metric), labels_of(records)
    full = full_methods(means_by_target(scores, sorted(labels)))
    found = rank_changes(scores, full)
    return found.text if found else None


def rank_line(records: Sequence[Record], metric: str) -> str | None:
    """Mean ranks of the methods (no controls) in one sentence; None where there are none."""
    scores, labels = scores_of(records, metric), labels_of(records)
    means = means_by_target(scores, sorted(labels))
    full = ranked_means(means)[0]
    found = ranks(
        {labels[m]: own for m, own in full.items()}, lower_is_better=scores.lower_is_better
    )
    if found is None:
        return None
    order = sorted(found.mean.items(), key=lambda pair: (pair[1], pair[0]))
    text = f"Mean rank by {scores.compared_as} over {found.targets} targets: "
    text += ", ".join(f"{m} {v:.2f}" for m, v in order)
    if short := sorted(labels[m] for m in set(means) - set(full)):
        text += f"; not ranked, having fewer targets: {', '.join(short)}"
    if found.p_value is None:
        return f"{text} (too few targets or methods for a test)."
    return (
        f"{text} (Friedman p = {found.p_value:.2g}; ranks closer than {found.critical:.2f} "
        "are not told apart, Nemenyi 5 %)."
    )
