"""Do the methods relate as they should?  python tests/bench/sense_checks.py [FOLDER ...]

Reads the records of `experiment=grid_main`, `grid_families` and `mini_checks` (default: the
committed ones) and prints, for each domain, both sides of each relation as mean and deviation over
the sets of shots that both sides have. A relation is one of the means over those runs, and no test:
a line says of how many. `CHECKS` should hold if methods, source models and metrics do what they are
for: exit status 1 if one fails or lacks records. `CLAIMS` are what papers report for their own
settings, and `RELATIVES` what one would expect of the methods of `grid_families`; whether the mini
suite shows them too is printed, and decides nothing.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsig_bench.report.records import load

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
DOMAINS = ("babies", "sunglasses")
Relation = tuple[str, str, str, str, str, float]
# (what, metric, left row, relation, right row, share of the right side)
CHECKS: list[Relation] = [
    ("D2C-style beats its unselected prior", "fd", "d2c", "<", "d2c_prior", 1),
    ("GAN inversion copies less than replay", "copy_rate", "gan_inversion", "<", "copy", 1),
    ("... and no less than the source", "copy_rate", "gan_inversion", ">=", "source", 1),
    ("GAN inversion beats the source", "fd", "gan_inversion", "<", "source", 1),
    ("CRDI beats the source by far", "fd", "crdi", "<=", "source", 0.7),
    ("CRDI keeps the target's diversity", "intra_lpips", "crdi", ">=", "real", 0.6),
    ("fine-tuning leaves the source", "source_leakage", "finetune", "<", "source", 1),
    ("IMLE, from scratch, copies", "copy_rate", "imle", ">", "real", 1),
]  # fmt: skip
CLAIMS: list[Relation] = [
    ("DomainStudio outdoes tuning in diversity", "intra_lpips", "domainstudio", ">", "finetune", 1),
    ("... at no larger a distance", "fd", "domainstudio", "<=", "finetune", 1),
    ("rejection raises IMLE's recall", "recall", "rs_imle", ">", "imle", 1),
    ("... and its coverage", "coverage", "rs_imle", ">", "imle", 1),
]  # fmt: skip
RELATIVES: list[Relation] = [
    ("CDC is more diverse than plain tuning", "intra_lpips", "cdc", ">", "tgan", 1),
    ("low rank copies less than all weights", "copy_rate", "finetune_lora", "<", "finetune", 1),
    ("guidance comes nearer than the source", "fd", "guided", "<", "source", 1),
    ("... and not as near as CRDI", "fd", "guided", ">", "crdi", 1),
    ("RS-IMLE beats patches without training", "fd", "rs_imle", "<", "patch_score", 1),
]  # fmt: skip
RELATIVES_DOMAINS = ("babies", "sketches")
RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def values(
    records: Sequence[dict[str, Any]], method: str, domain: str, metric: str
) -> dict[tuple[int, int, int], float]:
    """From subset, seed and draw to a number."""
    own = [r for r in records if (r["method"], r["dataset"]) == (method, domain) and r["k"] == 10]
    return {(r["subset"], r["seed"], r["draw"]): r["metrics"][metric]["value"] for r in own}


def spread(numbers: Sequence[float]) -> str:
    """Mean ± standard deviation, or the mean of one number."""
    mean = f"{statistics.fmean(numbers):.3f}"
    return f"{mean} ± {statistics.stdev(numbers):.3f}" if len(numbers) > 1 else mean


def verdict_of(
    records: Sequence[dict[str, Any]], relation: Relation, domain: str, words: Mapping[str, str]
) -> tuple[str, str]:
    """Whether a relation holds for the means of the runs that both sides have, and both sides."""
    _, metric, left, sign, right, share = relation
    a, b = (values(records, method, domain, metric) for method in (left, right))
    shared = sorted(a.keys() & b.keys())
    if not shared:
        return "no records", f"{left} {len(a)}, {right} {len(b)}, none of the same shots and draw"
    ours, theirs = [a[key] for key in shared], [b[key] for key in shared]
    holds = RELATIONS[sign](statistics.fmean(ours), share * statistics.fmean(theirs))
    factor = "" if share == 1 else f"{share:g} x "
    sides = f"{metric}: {left} {spread(ours)} {sign} {factor}{right} {spread(theirs)}"
    of = f"mean of {len(shared)} runs" if len(shared) > 1 else "one run"
    return f"{words['yes' if holds else 'no']}, {of}", sides


def main(folders: Sequence[str]) -> int:
    """Prints every relation; returns how many of the checks do not hold."""
    found = load([Path(f) for f in folders] or [REFERENCE])
    records = [r for r in found if r["suite"] == "mini"]
    failed = 0
    judged, seen = {"yes": "holds", "no": "FAILS"}, {"yes": "seen", "no": "not seen"}
    parts = (
        (CHECKS, DOMAINS, judged),
        (CLAIMS, DOMAINS, seen),
        (RELATIVES, RELATIVES_DOMAINS, seen),
    )
    for relations, domains, words in parts:
        for domain in domains:
            for relation in relations:
                verdict, sides = verdict_of(records, relation, domain, words)
                failed += relations is CHECKS and not verdict.startswith(words["yes"])
                print(f"{verdict:<24} {domain:<10} {relation[0]}: {sides}")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
