"""`python -m tools.results_tables`: the tables of README.md and docs/results.md.

Writes the tables of the committed records (results/reference) between the markers of both pages:
one for each metric, and one of quality, copying and cost side by side. They show the methods that
have records on every target. The seconds are those of the fastest run of each target: a run can
only be slowed by other work on the machine, and some were.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsig_bench.api.plain import Record
from fsig_bench.report.inference.intervals import estimate
from fsig_bench.report.inference.ranks import labels_of, means_by_target, ranked_means, ranks
from fsig_bench.report.inference.scores import scores_of
from fsig_bench.report.markdown import table
from fsig_bench.report.records import load

ROOT = Path(__file__).resolve().parents[1]
MARKS = ("<!-- tables -->", "<!-- end of tables -->")
METRICS = {"README.md": ["fd"], "docs/results.md": ["fd", "intra_lpips"]}
SHOTS = 10  # of the records that the pages show
HEADS = (
    *("mean over the targets", "mean rank ↓", "Frechet distance ↓ (95 %)", "copy rate ↓"),
    *("factor coverage ↑", "source leakage ↓", "evaluations", "seconds"),
)


def between_marks(text: str, content: str) -> str:
    """The page with `content` between its markers.

    Raises:
        ValueError: the page has not each marker once.
    """
    if [text.count(mark) for mark in MARKS] != [1, 1]:
        raise ValueError(f"the page needs each of {' and '.join(MARKS)} once")
    before, rest = text.split(MARKS[0])
    return f"{before}{MARKS[0]}\n\n{content.strip()}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


def on_every_target(records: Sequence[Record]) -> list[Record]:
    """The records of the methods that have some on every target."""
    targets: dict[str, set[str]] = defaultdict(set)
    for record in records:
        targets[record["method"]].add(record["dataset"])
    every = set().union(*targets.values())
    return [r for r in records if targets[r["method"]] == every]


def mean_over_targets(records: Sequence[Record], metric: str) -> float:
    """The mean over targets of the means over a method's runs."""
    by_target: dict[str, list[float]] = defaultdict(list)
    for record in records:
        by_target[record["dataset"]].append(record["metrics"][metric]["value"])
    return statistics.fmean(statistics.fmean(values) for values in by_target.values())


def evaluations(record: Record) -> int:
    """Network evaluations of a run, for adapting and for all of its samples."""
    return round(record["nfe_adapt"] + record["num_images"] * record["nfe_per_image"])


def seconds(record: Record) -> float:
    """Wall seconds of adapting and sampling."""
    return float(record["timing_s"]["adapt"] + record["timing_s"]["sample"])


def fastest_seconds(records: Sequence[Record]) -> float:
    """The median over targets of the seconds of the fastest run on each."""
    by_target: dict[str, list[float]] = defaultdict(list)
    for record in records:
        by_target[record["dataset"]].append(seconds(record))
    return statistics.median(map(min, by_target.values()))


def interval_text(values: Sequence[float]) -> str:
    """Mean and 95 % interval of one value for each target, which is the unit."""
    found = estimate(values)
    if found.low is None or found.high is None:
        return f"{found.mean:.1f}"
    return f"{found.mean:.1f} ({found.low:.1f} to {found.high:.1f})"


def summary(records: Sequence[Record]) -> str:
    """Quality, copying and cost of each method that is no control, in Markdown, by mean rank."""
    labels = labels_of(records)
    means = means_by_target(scores_of(records, "fd"), sorted(labels))
    own_means, targets = ranked_means(means)
    found = ranks(own_means, lower_is_better=True)
    assert found is not None
    lines = [HEADS, ("---", *["--:"] * (len(HEADS) - 1))]
    for method in sorted(labels, key=lambda name: (found.mean[name], name)):
        own = [r for r in records if r["method"] == method]
        lines.append(
            (
                labels[method],
                f"{found.mean[method]:.2f}",
                interval_text([own_means[method][target] for target in targets]),
                f"{mean_over_targets(own, 'copy_rate'):.3f}",
                f"{mean_over_targets(own, 'factor_coverage'):.3f}",
                f"{mean_over_targets(own, 'source_leakage'):.3f}",
                f"{statistics.median(map(evaluations, own)):,.0f}",
                f"{fastest_seconds(own):.0f}",
            )
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def pages() -> Mapping[Path, str]:
    """Each page with the tables that the records give."""
    found = load([ROOT / "results" / "reference"])
    shown = on_every_target([r for r in found if r["k"] == SHOTS])
    return {
        ROOT / name: between_marks(
            (ROOT / name).read_text(),
            "\n\n".join([*(table(shown, m).strip() for m in metrics), summary(shown)]),
        )
        for name, metrics in METRICS.items()
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
