"""The page docs/findings.md: its text by hand, its numbers from committed records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.api.files import write_bytes
from fsig_bench.api.plain import Record
from fsig_bench.report.audit import flips
from fsig_bench.report.audit.table import Row
from fsig_bench.report.findings import agreement, papers, selection, text_planted
from fsig_bench.report.findings.figure import draw_agreement
from fsig_bench.report.findings.kendall import EXACT, PERMUTATIONS
from fsig_bench.report.findings.planted import read_audits
from fsig_bench.report.findings.words import (
    between,
    listed_or,
    over_targets,
    p_text,
)
from fsig_bench.report.inference.intervals import RISK, holm
from fsig_bench.report.published import load_names, load_published
from fsig_bench.report.records import load
from fsig_bench.report.tables.markdown import grid_markdown

FIGURE = "findings_agreement.svg"
HEAD = """# Findings: which metrics to believe

This command makes the page from committed records alone, with every number on it:

    fsig-bench report findings=true out=docs/findings.md

The records of planted faults are the tables in [audit/](audit), those of the grid lie in
`results/reference`, and the numbers that papers print in `results/published`. {family}"""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the page is made from."""

    audits: Sequence[Row]
    flips: Sequence[flips.Value]  # of committed samples that were scored under other rules
    records: Sequence[Record]
    units: Sequence[selection.Unit]  # methods at several numbers of steps


def read_sources(records: Path, audits: Path) -> Sources:
    """From a folder of records and one of audits; runs at several steps lie in `checkpoints`.

    Raises:
        ValueError: one of them holds nothing of use.
    """
    found, steps = audits / "flips.csv", records.parent / "checkpoints"
    return Sources(
        audits=read_audits(audits),
        flips=flips.from_csv(found.read_text()) if found.is_file() else (),
        records=load([records]),
        units=selection.read_units(steps) if steps.is_dir() else (),
    )


def write_page(sources: Sources, out: Path) -> list[Path]:
    """Writes the page, and its figure beside it."""
    grid = agreement.grid_of(sources.records)
    lines = agreement.agreements(grid)
    rankings, printed = papers.rankings(grid.records, load_published(), load_names())
    tests = {("grid", n): line.found.p for n, line in enumerate(lines)}
    tests |= {("paper", n): ranking.p for n, ranking in enumerate(rankings)}
    adjusted = holm(tests)
    parts = [
        HEAD.format(
            family=(
                f"The p-values of all {len(tests)} tests of rankings on the page are corrected "
                f"together (Holm); a star marks one of at most {RISK:g} after that."
            )
        ),
        *text_planted.sections(sources.audits),
        *agreement_section(grid, lines, [adjusted["grid", n] for n in range(len(lines))]),
        *papers_section(rankings, printed, [adjusted["paper", n] for n in range(len(rankings))]),
        *flips_section(sources.flips),
        *selection.section(sources.units),
    ]
    write_bytes(out, ("\n\n".join(parts) + "\n").encode())
    decided = {n: adjusted["grid", n] <= RISK for n in range(len(lines))}
    return [out, draw_agreement(out.with_name(FIGURE), lines, decided)]


def agreement_section(
    grid: agreement.Grid, lines: Sequence[agreement.Line], p_holm: Sequence[float]
) -> list[str]:
    """Kendall's tau of each metric with each truth."""
    truths = agreement.truths_of(grid)
    first, count = grid.records[0], sum(r["method"] in grid.methods for r in grid.records)
    stated = [f"*{truth}* is {_stated_by(reading)}" for truth, reading in truths.items()]
    absent = [truth for truth in agreement.TRUTHS if truth not in truths]
    intro = (
        f"Over {count} committed runs of suite mini (protocol {first['protocol']}, "
        f"{first['k']} shots, {first['num_images']} samples), each of the {len(grid.methods)} "
        f"methods that have all metrics on all {len(grid.targets)} targets "
        f"({', '.join(grid.methods)}) has a mean for each metric and target. Kendall's tau "
        "compares the order of the methods by a metric, read so that better is more, with their "
        f"order by what is known of the images: {'; '.join(stated)}. A tau of 1 is the same order, "
        "-1 the reverse. The table shows the mean over targets, and the least and the greatest of "
        f"them in brackets. The p-value comes from {_orders(len(grid.methods))} of the methods, "
        "the same on every target: the methods are the same on all of them, so targets that agree "
        "are no evidence on other methods, and the brackets are no interval. `source` and `copy` "
        "count as methods: a metric must order them too."
    )
    if absent:
        intro += f" The committed records do not hold the {listed_or(absent)}."
    if subsets := {r.get("subset", 0) for r in grid.records}:
        many = len(subsets) > 1
        intro += f" The runs hold {len(subsets)} set{'s' * many} of shots."
    cells: dict[tuple[str, str], str] = {}
    for line, p in zip(lines, p_holm, strict=True):
        star = "*" if p <= RISK else ""
        cells[line.reading.heading, line.truth] = f"{over_targets(line.found.taus)}{star}"
    rows = [
        [name, *(cells.get((name, truth), "") for truth in truths)]
        for name in dict.fromkeys(line.reading.heading for line in lines)
    ]
    return [
        "## Do metrics agree with what is known?",
        intro,
        grid_markdown(["Kendall's tau with", *truths], rows),
        f"![tau of each metric with each truth]({FIGURE})",
        "Filled marks hold after the correction; bars reach from the least target to the greatest.",
        *_claims(lines, p_holm),
    ]


def _orders(methods: int) -> str:
    """What the p-values count."""
    if methods <= EXACT:
        return f"all {math.factorial(methods):,} orders"
    return f"{PERMUTATIONS:,} random orders"


def _stated_by(reading: agreement.Reading) -> str:
    text = {
        "source_leakage": "the share of samples that are not read as the source",
        "factor_coverage": "the overlap of the factors' histograms with the target's",
        "factor_distance": "the energy distance between the factors' laws, the smaller the better",
        "rendering_residual": "the rendering residual, the smaller the better",
        "rendered_precision": "the share of samples that the renderer could have drawn",
    }
    return text[reading.metric]


def _claims(lines: Sequence[agreement.Line], p_holm: Sequence[float]) -> list[str]:
    """What survives the correction, truth by truth, in sentences."""
    found = []
    for truth in dict.fromkeys(line.truth for line in lines):
        own = [(x, p) for x, p in zip(lines, p_holm, strict=True) if x.truth == truth]
        kept = [x for x, p in own if p <= RISK]
        with_it = [_named(x) for x in kept if x.found.mean > 0]
        against = [_named(x) for x in kept if x.found.mean < 0]
        text = f"- **{truth}**: "
        if not kept:
            text += f"none of {len(own)} orders can be told from chance."
        else:
            same = f"the same order is given by {', '.join(with_it)}" if with_it else ""
            reverse = f"the reverse order by {', '.join(against)}" if against else ""
            text += "; ".join(filter(None, [same, reverse])) + "."
        found.append(text)
    return ["What holds after the correction:", "\n".join(found)]


def _named(line: agreement.Line) -> str:
    return f"{line.reading.heading} ({line.found.mean:.2f})"


def papers_section(
    rankings: Sequence[papers.Ranking], printed: int, p_holm: Sequence[float]
) -> list[str]:
    """Mini's ranking beside each published one."""
    head = "## Does mini predict the papers?"
    if not rankings:
        return [
            head,
            f"Papers print {printed} rankings of at least {papers.FEWEST} methods that this "
            "harness has, on a target that mini has too, scored alike and with as many shots as "
            "the committed records. For none of these rankings do the committed records hold "
            f"{papers.FEWEST} of its methods. So this page cannot say whether mini predicts the "
            "papers.",
        ]
    rows = [
        [
            f"{r.paper}, {r.table}",
            r.metric,
            r.dataset,
            str(len(r.methods)),
            f"{r.tau:.2f}{'*' * (p <= RISK)}",
            "" if r.low is None or r.high is None else between(r.low, r.high),
            p_text(p),
        ]
        for r, p in zip(rankings, p_holm, strict=True)
    ]
    names = ["paper", "metric", "target", "methods", "tau", "95 % interval", "p, corrected"]
    text = (
        f"Papers print {printed} rankings of at least {papers.FEWEST} methods that this harness "
        f"has, scored alike; the committed records hold at least {papers.FEWEST} of their methods "
        f"for {len(rankings)}. The interval is Fieller's, over methods; four methods or fewer have "
        "none. Rankings of one paper's table share methods, and baselines are often reprinted from "
        "one paper to the next, so the lines are no independent witnesses."
    )
    return [head, text, grid_markdown(names, rows)]


def flips_section(values: Sequence[flips.Value]) -> list[str]:
    """Orders that other rules turn round."""
    head = "## Do protocols change the order of methods?"
    if not values:
        return [
            head,
            "No committed table holds the samples of the grid scored under several protocols' "
            "rules, so this page does not say which methods change order; `fsig-bench audit flips "
            "results_dir=DIR out=docs/audit` makes it from a results folder with samples.",
        ]
    runs = {(v.dataset, v.method, v.subset, v.seed, v.draw) for v in values}
    text = (
        f"The samples of {len(runs)} runs were scored under the rules of every protocol, by the "
        "suite's networks (`fsig-bench audit flips`)."
    )
    return [head, text, flips.markdown(values).strip()]
