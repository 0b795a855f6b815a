"""The page's part on planted faults, and the metrics that it recommends."""

from __future__ import annotations

from collections.abc import Sequence

from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.audit import table
from fsig_bench.report.audit.table import Row
from fsig_bench.report.findings.planted import (
    EARLY,
    Seen,
    needs_factors,
    seen_in,
    smallest_sets,
    tried_throughout,
    unseen_early,
)
from fsig_bench.report.inference.sentences import listed
from fsig_bench.report.tables.markdown import grid_markdown

OURS = "ours"
MOST_SETS = 5  # of the smallest ones that are named
LEVEL_NOTE = (
    'The number is the weakest strength from which on a metric sees the fault; "-": at none; "!": '
    "the metric rewards the fault at some strength; empty: not tried."
)


def sections(rows: Sequence[Row], versions: str = "") -> list[str]:
    """What was planted, what each metric sees, what published rules see, and the smallest set.

    Args:
        rows: of every audit.
        versions: a sentence on the protocol that they were made under, or "".
    """
    ours = [row for row in rows if row.protocol == OURS]
    seen = seen_in(ours)
    published = [row for row in rows if row.protocol != OURS]
    return [
        "## Planted faults",
        f"The renderer draws sets of fresh images with one fault each, at rising strengths "
        f"([instrument.md](instrument.md) says of which target). {_setting_sentence(ours)} "
        f"{versions}A fault "
        "counts as seen where the value lies further from fresh real images than chance allows "
        "over the whole table of its audit (Bonferroni, 5 %), in the direction that papers call "
        "bad, and as rewarded where it lies as far in the other one. The limit supposes that "
        "values of fresh real images are normal; the copy rate, which counts few images, passes it "
        "somewhat more often by chance.",
        seen_table(seen),
        LEVEL_NOTE,
        *_reward_sentences(seen),
        *_published_section(published),
        *_recommendation(seen),
    ]


def _setting_sentence(rows: Sequence[Row]) -> str:
    kinds: dict[tuple[int, int, int], list[str]] = {}
    for row in rows:
        names = kinds.setdefault((row.samples, row.floor_draws, row.sets), [])
        fault = row.heading.partition(",")[0]
        if fault not in names:
            names.append(fault)
    texts = [
        f"{listed(names)} in {'one set' if sets == 1 else f'{sets} sets'} of {samples} images for "
        f"each strength, beside {draws} sets of real ones"
        for (samples, draws, sets), names in kinds.items()
    ]
    return f"Planted were {'; '.join(texts)}."


def seen_table(seen: Seen) -> str:
    """Metric by fault."""
    lines = []
    for metric in seen.metrics:
        cells = []
        for fault in seen.faults:
            level = seen.levels.get((metric, fault))
            text = "-" if level is None else str(level)
            text += "!" * ((metric, fault) in seen.rewarded)
            cells.append(text if (metric, fault) in seen.tried else "")
        lines.append([metric_card(metric).heading, *cells])
    return grid_markdown(["seen from strength", *seen.faults.values()], lines)


def _reward_sentences(seen: Seen) -> list[str]:
    found = []
    for metric in seen.metrics:
        faults = [seen.faults[f] for f in seen.faults if (metric, f) in seen.rewarded]
        if faults:
            found.append(f"{metric_card(metric).heading} rewards {listed(faults)}")
    if not found:
        return ["No metric rewards a planted fault."]
    return [f"Read as papers read them, {'; '.join(found)}."]


def _published_section(rows: Sequence[Row]) -> list[str]:
    head = "### Under published rules"
    if not rows:
        return [
            head,
            "No committed audit holds published protocols, so this page does not say what their "
            "rules see; `fsig-bench audit plan=court protocols=[...] out=DIR` makes one.",
        ]
    parts = [
        head,
        "The same faults under the rules of published protocols: their reference with or without "
        "the shots, their clusters and at most their number of samples, with the suite's networks "
        "in the place of Inception and VGG. Drawn images have one size, so rules on resizing "
        "change nothing here.",
    ]
    seens = {place: seen_in(own) for place, own in table.by_protocol(rows).items()}
    faults = dict(pair for seen in seens.values() for pair in seen.faults.items())
    lines = []
    for (protocol, samples), seen in seens.items():
        for metric in seen.metrics:
            cells = []
            for fault in faults:
                level = seen.levels.get((metric, fault))
                text = "-" if level is None else str(level)
                cells.append(text + "!" * ((metric, fault) in seen.rewarded))
            lines.append([f"{protocol}, {samples}: {metric_card(metric).heading}", *cells])
    parts.append(grid_markdown(["protocol, samples: metric", *faults.values()], lines))
    rewards = [
        f"{metric_card(metric).heading} under {protocol} rewards {listed(own)}"
        for (protocol, _), seen in seens.items()
        for metric in seen.metrics
        if (own := [seen.faults[f] for f in seen.faults if (metric, f) in seen.rewarded])
    ]
    parts.append(f"{'; '.join(rewards)}." if rewards else "None of them rewards a fault.")
    return parts


def _recommendation(seen: Seen) -> list[str]:
    anywhere = [m for m in seen.metrics if not needs_factors(m)]
    return [
        "## The smallest set that sees every fault",
        f"A set of metrics sees every planted fault early if, for each of the {len(seen.faults)} "
        f"faults, one of them sees it from strength {EARLY} on ({_strengths(seen)}). "
        f"{_left_out_sentence(seen)}{_sets_sentence(seen, None)}",
        "Photographs have no named factors, so here are the sets without the metrics that need "
        f"them; the faults are still those of drawn images. {_sets_sentence(seen, anywhere)}",
    ]


def _left_out_sentence(seen: Seen) -> str:
    """The metrics that the search passes over."""
    tried = tried_throughout(seen)
    names = [metric_card(m).heading for m in seen.metrics if m not in tried]
    if not names:
        return ""
    were = "were" if len(names) > 1 else "was"
    return f"Left out is what {were} not tried for every fault: {listed(names)}. "


def _strengths(seen: Seen) -> str:
    return ", ".join(f"{seen.faults[f]} {s:g}" for f, s in sorted(seen.early_strengths.items()))


def _faults(seen: Seen, names: Sequence[str]) -> str:
    return listed([seen.faults[name] for name in names])


def _sets_sentence(seen: Seen, metrics: Sequence[str] | None) -> str:
    missed = unseen_early(seen, metrics)
    found = smallest_sets(seen, metrics, beside=missed)
    before = ""
    if missed:
        before = f"No set does, since none of these metrics sees {_faults(seen, missed)} early. "
    if not found:
        return before.strip()
    named = [", ".join(metric_card(m).heading for m in some) for some in found[:MOST_SETS]]
    of_what = f" that see the other {len(seen.faults) - len(missed)} faults early" if missed else ""
    size = f"{len(found[0])} metric{'s' * (len(found[0]) > 1)}"
    text = f"{before}The smallest sets{of_what} have {size}, and there are {len(found)}. "
    text += f"The one that rewards the fewest faults and sees them earliest is **{named[0]}**"
    return f"{text}; then come {'; '.join(named[1:])}." if named[1:] else f"{text}."
