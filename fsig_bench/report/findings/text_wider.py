"""The page's part on the set of targets that holds the most methods."""

from __future__ import annotations

from fsig_bench.report.findings.agreement import Analysis
from fsig_bench.report.findings.grid import SETS, Grid
from fsig_bench.report.findings.text_agreement import claims, tau_table
from fsig_bench.report.inference.scores import REAL
from fsig_bench.report.inference.sentences import listed

HEAD = "### More methods on fewer targets"


def section(analysis: Analysis | None) -> list[str]:
    """The same comparison where more methods have records, or what is missing."""
    if analysis is None:
        return [
            HEAD,
            f"On no set of at least two targets do more methods have all metrics for {SETS} sets "
            "of shots than on all targets, so there is no second comparison. "
            "`fsig-bench -m experiment=grid_families` makes records of further methods on two "
            "targets.",
        ]
    alone, grid = analysis.methods.grid, analysis.with_controls.grid
    return [
        HEAD,
        f"Of all sets of at least two targets, {listed(grid.targets)} hold the most methods with "
        f"all metrics for at least {SETS} sets of shots each: {len(alone.methods)}, namely "
        f"{', '.join(alone.methods)}.{_left_out(grid)} Metrics and truths are read as above. "
        f"{_relatives(alone)}",
        *tau_table(analysis),
        *claims(analysis),
    ]


def _left_out(grid: Grid) -> str:
    """The methods with records on these targets that the grid leaves out."""
    names = sorted({r["method"] for r in grid.records} - {*grid.methods, REAL})
    if not names:
        return ""
    return f" Methods with less on these targets are left out: {', '.join(names)}."


def _relatives(grid: Grid) -> str:
    """How many of the methods share code."""
    kinds = {
        r["config"]["method"].get("_target_", r["method"])
        for r in grid.records
        if r["method"] in grid.methods
    }
    return (
        f"These {len(grid.methods)} methods are settings of {len(kinds)} classes of code. The "
        "tests take all orders of the methods for equally likely; relatives that come out alike "
        "are less than independent witnesses, and the p-values are too small by that."
    )
