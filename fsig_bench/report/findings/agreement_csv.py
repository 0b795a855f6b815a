"""Every test of metrics beside truths, one line each, with the tau of each target."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from fsig_bench.report.findings.agreement import Analysis, Family, Line

COLUMNS = ("targets", "methods", "controls", "metric", "read_as", "truth")
NUMBERS = ("mean", "p", "least_p", "p_corrected")


def to_csv(analyses: Sequence[Analysis]) -> str:
    """One line for each test; targets that tell no methods apart, or are not there, are empty."""
    targets = sorted({t for a in analyses for t in a.with_controls.grid.targets})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *NUMBERS, *(f"tau {target}" for target in targets)])
    for analysis in analyses:
        for family in analysis.families:
            writer.writerows(_cells(family, line, targets) for line in family.lines)
    return text.getvalue()


def _cells(family: Family, line: Line, targets: Sequence[str]) -> list[str]:
    grid, found = family.grid, line.found
    taus = dict(zip(grid.targets, found.by_target, strict=True))
    numbers = (found.mean, found.p, found.least_p, line.p_holm, *map(taus.get, targets))
    return [
        str(len(grid.targets)),
        str(len(grid.methods) - len(grid.controls)),
        str(len(grid.controls)),
        line.reading.metric,
        line.reading.how,
        line.truth,
        *("" if number is None else f"{number:.6g}" for number in numbers),
    ]
