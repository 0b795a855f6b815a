"""The diagram of mean ranks: a line for each method, with an interval over targets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.api.plain import Record
from fsig_bench.report.html.axes import Axis, Tick
from fsig_bench.report.html.symbols import Sign, sign_of
from fsig_bench.report.inference.intervals import estimate
from fsig_bench.report.inference.ranks import full_methods, labels_of, means_by_target, ranks
from fsig_bench.report.inference.scores import scores_of

LEFT, RIGHT, TOP, LINE = 140.0, 405.0, 22.0, 22.0  # SVG units: the scale's ends, first row, a row
WIDTH = 420


@dataclass(frozen=True, kw_only=True)
class RankLine:
    """One method of the diagram."""

    label: str
    sign: Sign
    y: float
    x: float  # of its mean rank
    span: tuple[float, float] | None  # of its 95 % interval
    numbers: str  # mean and interval

    @property
    def text(self) -> str:
        """The line in words."""
        return f"{self.label}: mean rank {self.numbers}"


@dataclass(frozen=True, kw_only=True)
class RankDiagram:
    """All methods by one metric."""

    metric: str
    heading: str
    lines: tuple[RankLine, ...]  # best first
    ticks: tuple[Tick, ...]
    critical: float | None  # SVG units of Nemenyi's difference
    height: float
    sentences: tuple[str, ...]  # how to read it
    width: float = WIDTH
    left: float = LEFT  # of the scale


def rank_diagram(records: Sequence[Record], metric: str) -> RankDiagram | None:
    """The diagram of one metric; None with fewer than two methods or no target that all have.

    Args:
        records: of one setting, each method under one set of settings.
        metric: a name that records hold.
    """
    scores, labels = scores_of(records, metric), labels_of(records)
    means = means_by_target(scores, sorted(labels))
    full = full_methods(means)
    found = ranks({m: means[m] for m in full}, lower_is_better=scores.lower_is_better)
    if found is None:
        return None
    first = {r["method"]: r for r in reversed(records)}
    scale = Axis(low=1.0, high=float(len(full)), log=False, start=LEFT, end=RIGHT)
    order = sorted(full, key=lambda m: (found.mean[m], labels[m]))
    lines = []
    for number, method in enumerate(order):
        own = estimate(found.by_target[method])
        numbers = f"{own.mean:.2f}"
        span = None
        if own.low is not None and own.high is not None:
            span = scale.at(own.low), scale.at(own.high)
            low, high = max(own.low, 1.0), min(own.high, len(full))
            numbers += f" ({low:.2f} to {high:.2f})"
        lines.append(
            RankLine(
                label=labels[method],
                sign=sign_of(first[method]),
                y=TOP + LINE * (number + 0.5),
                x=scale.at(own.mean),
                span=span,
                numbers=numbers,
            )
        )
    step = -(-len(full) // 10)
    places = range(1, len(full) + 1, step)
    unit = (RIGHT - LEFT) / (len(full) - 1)
    return RankDiagram(
        metric=metric,
        heading=scores.compared_as,
        lines=tuple(lines),
        ticks=tuple(Tick(at=scale.at(n), text=str(n)) for n in places),
        critical=None if found.critical is None else round(found.critical * unit, 1),
        height=TOP + LINE * len(order) + 8,
        sentences=tuple(rank_sentences(found.targets, found.critical, labels, means, full)),
    )


def rank_sentences(
    targets: int,
    critical: float | None,
    labels: Mapping[str, str],
    means: Mapping[str, object],
    full: Sequence[str],
) -> list[str]:
    """How to read the diagram, and who is not in it."""
    many = f"{targets} targets" if targets > 1 else "one target"
    out = [f"A marker is a method's mean rank over {many}; 1, on the left, is best."]
    if targets > 1:
        out.append(
            "The line through it is the 95 % interval with the targets as units, cut at the ends "
            "of the scale."
        )
    else:
        out.append("With one target there is no interval, and the order may be chance.")
    if critical is not None:
        out.append(
            f"The bar at the top is {critical:.2f} ranks long: methods closer than that are not "
            "told apart (Nemenyi's test, 5 %)."
        )
    elif targets > 1:
        out.append(
            "There are too few targets or methods for a test of ranks, and "
            "intervals over few targets are rough."
        )
    if short := sorted(labels[m] for m in set(means) - set(full)):
        out.append(f"Not ranked, since they have fewer targets: {', '.join(short)}.")
    return out
