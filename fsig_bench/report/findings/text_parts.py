"""The page's part on what the factor distance consists of, and what it is no truth about."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fsig_bench.report.findings.grid import Grid, without_controls
from fsig_bench.report.findings.kendall import orders, tau_b
from fsig_bench.report.findings.parts import Parts, means_of, parts_of
from fsig_bench.report.inference.scores import REAL
from fsig_bench.report.inference.sentences import listed
from fsig_bench.report.tables.markdown import grid_markdown

HEAD = "### What the factor distance consists of"
COPY, SOURCE = "copy", "source"  # controls
LARGE = 0.25  # of the sum of the factors' parts on a target
DOMAIN_PART, FACTORS, VALUE = "domain part", "sum of the factors' parts", "factor distance"
READ: Mapping[str, Callable[[Parts], float]] = {
    DOMAIN_PART: lambda parts: parts.domain,
    FACTORS: lambda parts: parts.factors,
    VALUE: lambda parts: parts.value,
}
Column = Mapping[tuple[str, str], float]  # (method, target) -> a mean over runs


def section(grid: Grid) -> list[str]:
    """The parts of each method and what follows; nothing where records lack the parts.

    Args:
        grid: with the controls.
    """
    columns = {name: means_of(grid.records, read) for name, read in READ.items()}

    def known(method: str) -> bool:
        return all((method, target) in columns[VALUE] for target in grid.targets)

    if not all(map(known, grid.methods)):
        return []
    rows = [*grid.methods, *([REAL] if known(REAL) else [])]
    lines = [[m, *(f"{_mean(own, m, grid):z.2f}" for own in columns.values())] for m in rows]
    return [
        HEAD,
        "The factor distance joins the probability of the target's domain and all factors in one "
        "distance. Records hold the distance of each of them alone too; these parts do not add up "
        "to the value. The table shows means over the targets.",
        grid_markdown(["method", *READ], lines),
        _domain_sentence(columns, without_controls(grid)) + _fixed_sentence(grid),
        *_copies_paragraph(columns, grid),
    ]


def _mean(column: Column, method: str, grid: Grid) -> float:
    return statistics.fmean(column[method, target] for target in grid.targets)


def mean_tau(one: Column, other: Column, methods: Sequence[str], targets: Sequence[str]) -> float:
    """Kendall's tau over the methods, mean over the targets that tell some of them apart."""
    sides = (np.array([[own[m, t] for m in methods] for t in targets]) for own in (one, other))
    a, b = map(orders, sides)
    return float(np.nanmean(tau_b(a, b)))


def _domain_sentence(columns: Mapping[str, Column], alone: Grid) -> str:
    """Which of the parts the value follows."""
    if len(alone.methods) < 2:
        return ""
    domain, factors = (
        mean_tau(columns[VALUE], columns[part], alone.methods, alone.targets)
        for part in (DOMAIN_PART, FACTORS)
    )
    text = (
        f"Over the {len(alone.methods)} methods without controls, the value has a tau of "
        f"{domain:z.2f} with its domain part and of {factors:z.2f} with the factors' parts."
    )
    if domain > factors:
        text += (
            " A sample that is read as the source lies far off by its domain alone, so the value "
            "says first of all how much of the source is left. *Factors alone* is therefore a "
            "truth of its own in the table above."
        )
    return text


def _fixed_sentence(grid: Grid) -> str:
    """The factors that tell the domain as well, by what the source model lacks."""
    found = []
    for target in grid.targets:
        of_source = [r for r in grid.records if (r["method"], r["dataset"]) == (SOURCE, target)]
        own = [parts for parts in map(parts_of, of_source) if parts is not None]
        if not own:
            continue
        whole = sum(p.factors for p in own)  # the source is far off: it is positive
        share = {name: sum(p.by_factor[name] for p in own) / whole for name in own[0].by_factor}
        large = [
            f"`{name}`" for name in sorted(share, key=lambda n: -share[n]) if share[name] >= LARGE
        ]
        if large:
            found.append(f"{listed(large)} on {target}")
    if not found:
        return ""
    return (
        " The factors' parts are not free of the domain either, since some factors tell the "
        f"source from the target: at least {LARGE * 100:g} % of the sum of `{SOURCE}` each come "
        f"from {'; '.join(found)}."
    )


def _copies_paragraph(columns: Mapping[str, Column], grid: Grid) -> list[str]:
    """That repeated shots cost little; nothing where they cost as much as methods do."""
    if COPY not in grid.methods:
        return []
    texts = []
    for name in (VALUE, FACTORS):
        values = [_mean(columns[name], m, grid) for m in without_controls(grid).methods]
        if _mean(columns[name], COPY, grid) >= statistics.median(values):
            return []
        texts.append(
            f"the {name} is {_mean(columns[name], COPY, grid):.2f} for `{COPY}` and "
            f"{min(values):.2f} to {max(values):.2f} for the methods"
        )
    return [
        f"Neither is a truth about copies. Repeating the {grid.records[0]['k']} shots costs this "
        f"distance only little: {'; '.join(texts)}. A metric that punishes copies must put "
        f"`{COPY}` last where these truths put it near the top, so the reversed order of the copy "
        "rate says nothing against the copy rate."
    ]
