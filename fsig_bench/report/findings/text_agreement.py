"""The page's part on metrics beside what is known of the images."""

from __future__ import annotations

import math

from fsig_bench.metrics.cards import metric_card, metric_names
from fsig_bench.report.findings import text_parts
from fsig_bench.report.findings.agreement import TRUTHS, Analysis, Family, Line, truths_of
from fsig_bench.report.findings.grid import ALONE, Grid, Reading
from fsig_bench.report.findings.kendall import EXACT, PERMUTATIONS
from fsig_bench.report.findings.parts import DISTANCE
from fsig_bench.report.findings.words import listed_or, one_in
from fsig_bench.report.inference.intervals import RISK
from fsig_bench.report.inference.sentences import listed
from fsig_bench.report.tables.markdown import grid_markdown

CLAIMS = "What holds after the correction; the family of the methods alone is the primary one:"


def section(analysis: Analysis, *, figure: str, table: str) -> list[str]:
    """Kendall's tau of each metric with each truth, on all targets.

    Args:
        analysis: of all targets.
        figure: the name of the figure beside the page.
        table: the name of the CSV beside the page.
    """
    grid = analysis.with_controls.grid
    first = grid.records[0]
    truths = truths_of(grid)
    stated = [f"*{truth}* is {_stated_by(reading)}" for truth, reading in truths.items()]
    absent = [truth for truth in TRUTHS if truth not in truths]
    intro = (
        f"{_grid_sentence(analysis)} The runs are of suite mini (protocol {first['protocol']}, "
        f"{first['k']} shots, {first['num_images']} samples). Kendall's tau "
        "compares the order of the methods by a metric, read so that better is more, with their "
        f"order by what is known of the images: {'; '.join(stated)}. A tau of 1 is the same order, "
        "-1 the reverse."
    )
    if absent:
        intro += f" The committed records do not hold the {listed_or(absent)}."
    return [
        "## Do metrics agree with what is known?",
        intro,
        _reader_paragraph(grid),
        "A p-value counts orders of the methods, the same on every target: the methods are the "
        "same on all of them, so targets that agree are no evidence on other methods.",
        *tau_table(analysis),
        f"![tau of each metric with each truth]({figure})",
        f"{'The figure has the controls among the methods. ' * bool(grid.controls)}"
        "Filled marks hold after the correction; bars reach from the least target to the greatest. "
        f"[{table}]({table}) holds the tau of each target and all p-values.",
        *claims(analysis),
        *text_parts.section(grid),
    ]


def _grid_sentence(analysis: Analysis) -> str:
    """What is compared."""
    grid, names = analysis.with_controls.grid, analysis.methods.grid.methods
    count = sum(r["method"] in grid.methods for r in grid.records)
    subsets = len({r.get("subset", 0) for r in grid.records})
    text = (
        f"{len(names)} methods have all metrics on {len(grid.targets)} targets "
        f"({', '.join(grid.targets)}): {', '.join(names)}."
    )
    if grid.controls:
        text += f" So {_have(grid.controls)} the {_controls(grid)}."
    return (
        f"{text} Their {count} committed runs hold {subsets} set{'s' * (subsets > 1)} of shots, "
        "and each of them has a mean for each metric and target."
    )


def _reader_paragraph(grid: Grid) -> str:
    """That metrics and truths are measured by one network, and which metrics are not."""
    names = [metric_card(m).heading for m in metric_names(grid.records) if on_pixels(grid, m)]
    which = "No metric is"
    if names:
        which = f"Only {listed(names)} {'are' if len(names) > 1 else 'is'}"
    return (
        "Metrics and truths are measured by the same network: the factor reader is the extractor "
        "of the features, the network of perceptual distances and the reader of the factors. What "
        "it gets wrong on generated images enters both sides and can raise tau, so a high tau may "
        f"come from an error that both share. {which} measured without it, on pixels."
    )


def on_pixels(grid: Grid, metric: str) -> bool:
    """Whether no run of the grid needed a network for a metric."""
    found = {r["metrics"][metric].get("extractor") for r in grid.records if metric in r["metrics"]}
    return found == {"pixels"}


def _have(names: frozenset[str]) -> str:
    return "have" if len(names) > 1 else "has"


def _controls(grid: Grid) -> str:
    """The controls by name."""
    names = [f"`{name}`" for name in sorted(grid.controls)]
    return f"control{'s' * (len(names) > 1)} {listed(names)}"


def tau_table(analysis: Analysis) -> list[str]:
    """Metric by truth: the tau of the methods alone, and that with the controls."""
    cells: dict[tuple[Reading, str], list[str]] = {}
    for family in analysis.families:
        for line in family.lines:
            own = cells.setdefault((line.reading, line.truth), [])
            own.append(f"{line.found.mean:z.2f}{'*' * line.holds}")
    truths = truths_of(analysis.with_controls.grid)
    rows = [
        [reading.heading, *(" / ".join(cells.get((reading, truth), [])) for truth in truths)]
        for reading in dict.fromkeys(reading for reading, _ in cells)
    ]
    note = "Each number is a mean over the targets."
    if len(analysis.families) > 1:
        names = _controls(analysis.with_controls.grid)
        note += f" The first one is of the methods alone, the second has the {names} among them."
    return [note, grid_markdown(["Kendall's tau with", *truths], rows)]


def claims(analysis: Analysis) -> list[str]:
    """What survives the correction, in each family."""
    alone, both = analysis.methods, analysis.with_controls
    found = [CLAIMS, _family_sentence(alone, "")]
    if alone.can_succeed():
        found.append(_by_truth(alone, None))
    if len(analysis.families) == 1:
        return found
    found.append(_family_sentence(both, f" with the {_controls(both.grid)}"))
    if both.can_succeed():
        found.append(_by_truth(both, alone))
    if not alone.can_succeed() and any(line.holds for line in both.lines):
        found.append(
            "So every star depends on controls that count as methods, and these are extreme by "
            "design. The first numbers of the table show each tau without them; none of those can "
            "be told from chance."
        )
    return found


def _family_sentence(family: Family, which: str) -> str:
    """How many tests there are, and whether one of them can succeed."""
    methods, tests = len(family.grid.methods), len(family.lines)
    size = family.least_p * tests
    text = (
        f"**{methods} methods{which}.** The p-values come from {_orders(methods)}. The smallest "
        f"one that a test can have is {one_in(family.least_p)}, times {tests} tests {size:.2g}: "
    )
    if family.can_succeed():
        return text + f"at most {RISK:g}, so that a test can succeed."
    return text + (
        f"more than {RISK:g}. No test of this family can succeed, whatever the metrics do, so it "
        "says nothing for or against any of them."
    )


def _orders(methods: int) -> str:
    """What the p-values count."""
    if methods <= EXACT:
        return f"all {math.factorial(methods):,} orders"
    return f"{PERMUTATIONS:,} random orders"


def _stated_by(reading: Reading) -> str:
    text = {
        ("source_leakage", ""): "the share of samples that are not read as the source",
        ("factor_coverage", ""): "the overlap of the factors' histograms with the target's",
        (DISTANCE, ""): "the energy distance between the laws of the domain and all factors, the "
        "smaller the better",
        (DISTANCE, ALONE): "the sum of the same distance over single factors, without the domain",
        ("rendering_residual", ""): "the rendering residual, the smaller the better",
        ("rendered_precision", ""): "the share of samples that the renderer could have drawn",
    }
    return text[reading.metric, reading.how]


def _by_truth(family: Family, alone: Family | None) -> str:
    """What holds, truth by truth, with taus as the table has them."""
    found = []
    without = {(x.reading, x.truth): x for x in alone.lines} if alone else {}
    for truth in dict.fromkeys(line.truth for line in family.lines):
        own = [line for line in family.lines if line.truth == truth]
        kept = [line for line in own if line.holds]
        named = {x.reading: _named(x, without.get((x.reading, truth))) for x in kept}
        with_it = [named[x.reading] for x in kept if x.found.mean > 0]
        against = [named[x.reading] for x in kept if x.found.mean < 0]
        text = f"- **{truth}**: "
        if kept:
            same = f"the same order is given by {', '.join(with_it)}" if with_it else ""
            reverse = f"the reverse order by {', '.join(against)}" if against else ""
            text += "; ".join(filter(None, [same, reverse])) + "."
        elif family.can_succeed(truth):
            text += f"none of {len(own)} orders can be told from chance."
        else:
            text += f"none of its {len(own)} tests can succeed."
        found.append(text)
    return "\n".join(found)


def _named(line: Line, alone: Line | None) -> str:
    both = (line,) if alone is None else (alone, line)
    return f"{line.reading.heading} ({' / '.join(f'{x.found.mean:z.2f}' for x in both)})"
