"""Do the methods relate as they should?  python tests/bench/sense_checks.py [FOLDER ...]

Reads the records of `experiment=mini_grid` and `experiment=mini_checks` (default: results/runs)
and prints, for each domain, both sides of each expectation as mean and deviation over seeds, and
whether it holds. Exit status 1 if one fails or lacks records.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.report.records import load

DOMAINS = ("babies", "sunglasses")
# (what, metric, left row, relation, right row); `share` compares with a share of the right side.
CHECKS: list[tuple[str, str, str, str, str, float]] = [
    ("DomainStudio outdoes tuning in diversity", "intra_lpips", "domainstudio", ">", "finetune", 1),
    ("... at no larger a distance", "fd", "domainstudio", "<=", "finetune", 1),
    ("rejection raises IMLE's recall", "recall", "rs_imle", ">", "imle", 1),
    ("... and its coverage", "coverage", "rs_imle", ">", "imle", 1),
    ("D2C-style beats its unselected prior", "fd", "d2c", "<", "d2c_prior", 1),
    ("GAN inversion copies less than replay", "copy_rate", "gan_inversion", "<", "copy", 1),
    ("... and no less than the source", "copy_rate", "gan_inversion", ">=", "source", 1),
    ("GAN inversion beats the source", "fd", "gan_inversion", "<", "source", 1),
    ("CRDI beats the source by far", "fd", "crdi", "<=", "source", 0.7),
    ("CRDI keeps the target's diversity", "intra_lpips", "crdi", ">=", "real", 0.6),
]  # fmt: skip
RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def values(records: Sequence[dict[str, Any]], method: str, domain: str, metric: str) -> list[float]:
    """One number a seed, in order of seeds."""
    own = [r for r in records if (r["method"], r["dataset"]) == (method, domain) and r["k"] == 10]
    found = {r["seed"]: r["metrics"][metric]["value"] for r in own}
    return [found[s] for s in sorted(found)]


def spread(numbers: Sequence[float]) -> str:
    """Mean ± standard deviation, or the mean of one number."""
    mean = f"{statistics.fmean(numbers):.3f}"
    return f"{mean} ± {statistics.stdev(numbers):.3f}" if len(numbers) > 1 else mean


def main(folders: Sequence[str]) -> int:
    """Prints every check; returns how many do not hold."""
    records = [
        r for r in load([Path(f) for f in folders or ["results/runs"]]) if r["suite"] == "mini"
    ]
    failed = 0
    for domain in DOMAINS:
        for what, metric, left, relation, right, share in CHECKS:
            a, b = (values(records, m, domain, metric) for m in (left, right))
            if not a or not b:
                verdict, sides = "no records", f"{left} {len(a)}, {right} {len(b)}"
            else:
                holds = RELATIONS[relation](statistics.fmean(a), share * statistics.fmean(b))
                verdict = "holds" if holds else "FAILS"
                factor = "" if share == 1 else f"{share:g} x "
                sides = f"{metric}: {left} {spread(a)} {relation} {factor}{right} {spread(b)}"
                sides += f" ({len(a)} and {len(b)} seeds)"
            failed += verdict != "holds"
            print(f"{verdict:<10} {domain:<10} {what}: {sides}")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
