"""The page's part on what choosing the checkpoint gains."""

from __future__ import annotations

from collections.abc import Sequence

from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.findings.selection import METRIC, Unit
from fsig_bench.report.inference.intervals import estimate
from fsig_bench.report.tables.markdown import grid_markdown

HEAD = "## What choosing the checkpoint gains"
COLUMNS = ("gain, best on the reference", "on fresh samples", "gain, on the shots")
EDGE = ("best minus on the shots", "the same on fresh samples")


def section(units: Sequence[Unit]) -> list[str]:
    """The section of the page."""
    if not units:
        return [
            HEAD,
            "No committed record holds a method's numbers at several checkpoints, so this page "
            "does not say how many points are gained by keeping the checkpoint with the best "
            "number on the reference; the commands in `conf/experiment/checkpoints.yaml` make "
            "such records.",
        ]
    heading = metric_card(METRIC).heading
    text = (
        f"Some papers keep the checkpoint with the best number on the reference that is then "
        f"reported. The table shows by how much the {heading} falls when each method is read after "
        "the best of the listed numbers of steps, in place of the number that its YAML file fixes "
        "(bold). *On fresh samples* is the same choice on another draw of samples, which takes "
        "away what the chance of the first draw gave. Both draws are scored against the same "
        "reference images, so what the choice owes to the chance of those images stays in. *On "
        "the shots* is the number of steps that `fsig-bench tune` chose without the reference, and "
        f"*{EDGE[0]}* is the difference of the two gains on the same set of shots."
    )
    limits = (
        "Numbers are means, with Student's 95 % interval over the sets of shots of the target. On "
        "the draw that chose, neither the gain of the best nor its difference from another gain "
        "can be negative, whatever the methods do; their intervals are therefore cut at 0, and a "
        "gain above 0 is no evidence there. The columns of fresh samples can have both signs."
    )
    lines = [
        _line([u for u in units if (u.method, u.dataset) == place])
        for place in dict.fromkeys((unit.method, unit.dataset) for unit in units)
    ]
    head = ["method", "target", "sets of shots", "steps", f"{heading}, fixed", *COLUMNS, *EDGE]
    return [HEAD, text, limits, grid_markdown(head, lines)]


def _line(own: Sequence[Unit]) -> list[str]:
    first = own[0]
    steps = [f"**{s}**" if s == first.fixed else str(s) for s in first.distances]
    again = [u for u in own if u.draws > 1]
    return [
        first.label,
        first.dataset,
        str(len(own)),
        ", ".join(steps),
        _text([u.distances[u.fixed][0] for u in own]),
        _text([u.gain(u.best) for u in own], least=0.0),
        _text([u.gain(u.best, 1) for u in again]),
        _text([u.gain(u.on_shots) for u in own if u.on_shots is not None]),
        _text([edge for u in own if (edge := u.edge()) is not None], least=0.0),
        _text([edge for u in again if (edge := u.edge(1)) is not None]),
    ]


def _text(values: Sequence[float], *, least: float | None = None) -> str:
    """A mean with its interval, cut at the least value that can be."""
    if not values:
        return "-"
    found = estimate(values)
    if found.low is None or found.high is None:
        return f"{found.mean:z.1f}"
    low = found.low if least is None else max(least, found.low)
    return f"{found.mean:z.1f} [{low:z.1f}, {found.high:z.1f}]"
