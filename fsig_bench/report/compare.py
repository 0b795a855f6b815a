"""`fsig-bench compare METHOD OTHER [FOLDER ...]`: is one method better than another?

    fsig-bench compare crdi domainstudio                       the runs in results/
    fsig-bench compare crdi domainstudio results/reference     records in a folder
    fsig-bench compare crdi domainstudio results_dir=DIR       another results folder
    fsig-bench compare crdi domainstudio test=mmd_test         and a test of the samples themselves

FOLDER: where records lie, or a results folder (default: results). results_dir=DIR is the same.

Differences are paired: the same target, shots, seed, draw seed, number of samples and protocol on
both sides, so what they share cancels. The interval is Student's over those pairs. Nothing is
resampled with replacement: that inflates Frechet distances. test=NAME is a permutation test of
conf/metric; it needs the samples of the runs, which lie in the store of a results folder.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from fsig_bench.api.plain import Record
from fsig_bench.console import parse_words, run_word
from fsig_bench.metrics.cards import metric_cards
from fsig_bench.report.records import load, pair_key, record_folders
from fsig_bench.report.variants import main_variant

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of a metric, first method minus second, over pairs."""

    pairs: int
    mean: float
    low: float | None  # of the 95 % interval; None with a single pair
    high: float | None

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def difference(values: Sequence[float]) -> Difference:
    """Mean of paired differences with Student's interval.

    Raises:
        ValueError: no pairs.
    """
    if not values:
        raise ValueError("no pairs: the two methods share no target, seed and protocol")
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return Difference(pairs=1, mean=mean, low=None, high=None)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    return Difference(pairs=n, mean=mean, low=mean - half, high=mean + half)


def paired(
    records: Sequence[Record], first: str, second: str, metric: str
) -> dict[str, list[float]]:
    """Differences by target; only pairs that agree in everything but the method."""
    sides: dict[str, dict[tuple[str | int | None, ...], float]] = {first: {}, second: {}}
    for r in records:
        value = r["metrics"].get(metric, {}).get("value")
        if r["method"] in sides and value is not None:
            sides[r["method"]][pair_key(r)] = value
    out: dict[str, list[float]] = defaultdict(list)
    for key in sorted(sides[first].keys() & sides[second].keys(), key=str):
        out[str(key[0])].append(sides[first][key] - sides[second][key])
    return dict(out)


def comparison(records: Sequence[Record], first: str, second: str) -> str:
    """Every metric of both methods: difference and interval, by target and over all."""
    known = {r["method"] for r in records}
    for name in (first, second):
        if name not in known:
            raise ValueError(f"no record of {name}; there are {', '.join(sorted(known))}")
    records, asked = main_variant(records), len(records)
    if left := asked - len(records):
        note = f"{left} records of other settings than a method's most frequent are left out"
    lines = [f"{first} minus {second}: mean of paired differences, 95 % interval, pairs", ""]
    for metric, card in metric_cards(records).items():
        by_target = paired(records, first, second, metric)
        if card.is_p_value or not by_target:
            continue
        lines.append(f"{card.heading} {card.arrow}")
        rows = list(by_target.items())
        if len(rows) > 1:
            rows.append(("all", [v for values in by_target.values() for v in values]))
        for target, values in rows:
            d = difference([v * card.factor for v in values])
            digits = card.decimals
            interval = "one pair" if d.low is None else f"{d.low:.{digits}f} to {d.high:.{digits}f}"
            mark = "  *" if d.decided else ""
            lines.append(f"  {target:<12} {d.mean:+.{digits}f}  ({interval}; {d.pairs}){mark}")
    if len(lines) == 2:
        raise ValueError(f"{first} and {second} share no target, seed and protocol")
    tail = ["", "* the interval leaves out 0", *([note] if left else [])]
    return "\n".join([*lines, *tail])


def main(words: Sequence[str]) -> int:
    """Prints the comparison.

    Raises:
        ValueError: other than two methods, no such folder, or no record of a method.
    """
    given = parse_words(words, word="compare", keys=("results_dir", "test"))
    if len(given.positional) < 2:
        raise ValueError("give two methods: fsig-bench compare crdi domainstudio [FOLDER]")
    first, second, *folders = given.positional
    folders += [given.settings["results_dir"]] if "results_dir" in given.settings else []
    name = given.settings.get("test")
    places = record_folders(folders)
    records = load(places, short=name is None)
    print(comparison(records, first, second))
    if name is not None:
        from fsig_bench.report.sample_test import tested_samples

        print("\n" + tested_samples(records, first, second, name=name, folders=places))
    return 0


if __name__ == "__main__":
    sys.exit(run_word("compare", main))
