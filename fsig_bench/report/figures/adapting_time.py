"""Frechet distance against the seconds of adapting, for methods that ran at several lengths.

A method's card names its *length*: the setting that sets how long it adapts, such as a number of
steps. A curve holds runs of one method on one target that differ in their length alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.api.files import write_bytes
from fsig_bench.api.plain import Json, Record
from fsig_bench.metrics.cards import metric_card
from fsig_bench.report.figures.pareto import limits, plain_log_ticks
from fsig_bench.report.figures.style import (
    COLUMN,
    EDGE,
    PAGE,
    draw_curve,
    drawing_order,
    label_of,
    look,
    method_legend,
    new_figure,
    save,
    style,
)
from fsig_bench.report.figures.summaries import cards, metric, units
from fsig_bench.report.inference.units import Units, chance_of
from fsig_bench.report.records import comparable_setting, method_cards
from fsig_bench.report.tables.markdown import grid
from fsig_bench.report.variants import settings_of

METRIC = "fd"
Place = tuple[str, str]  # dataset, method
OwnValue = Callable[[Record, str], object]  # a record and a setting -> the value in conf/


@dataclass(frozen=True, kw_only=True)
class Point:
    """A method at one length."""

    length: float
    seconds: Units  # of adapting
    distance: Units
    is_own: bool  # whether the suite gives the method this length


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A method on one target, by ascending length."""

    dataset: str
    method: str
    key: str  # the setting that is its length, such as method.iterations
    points: tuple[Point, ...]


def length_key(record: Record) -> str | None:
    """The setting that is a method's length, by today's card or the record's; None: it has none."""
    own, today = record["config"]["method"]["card"], method_cards().get(record["method"], {})
    key = today.get("length", own.get("length"))
    return None if key is None else f"method.{key}"


def adapting_seconds(record: Record) -> float:
    """Seconds of adapting; shared work counts as if the run had made it."""
    return float(record["timing_s"]["adapt"])


def value_in_conf(record: Record, key: str) -> object:
    """A setting of the record's method as its suite has it today; None: conf/ lacks the method."""
    from omegaconf import OmegaConf

    from fsig_bench.runner.compose import compose_config

    try:
        config = compose_config(
            [f"{name}={record[name]}" for name in ("suite", "method", "dataset")]
        )
    except ValueError:
        return None
    found: object = OmegaConf.select(config, key)
    return found


def over_lengths(records: Sequence[Record]) -> list[Record]:
    """The records that differ in their method's length alone, of the rules that most methods share.

    Of a method on a target the settings with most lengths are taken, and of their places of chance
    (shots, seed, draw) those that were run at most of the lengths.
    """
    groups: dict[str, dict[Place, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for r in records:
        if metric(METRIC)(r) is not None:
            groups[str(comparable_setting(dict(r)))][r["dataset"], r["method"]].append(r)
    found = [
        [own for runs in groups[rules].values() if (own := _of_one_curve(runs))]
        for rules in sorted(groups)
    ]
    best = max(found, key=lambda curves: (len(curves), sum(map(len, curves))), default=[])
    return [r for curve in best for r in curve]


def _of_one_curve(runs: Sequence[Record]) -> list[Record]:
    """Those of a method on a target that differ in its length alone; empty below two lengths."""
    by_rest: dict[str, dict[object, dict[float, list[Record]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for r in runs:
        settings, key = dict(settings_of(r)), length_key(r)
        if key is not None and isinstance(length := settings.pop(key, None), int | float):
            rest = repr(sorted(settings.items(), key=str))
            by_rest[rest][chance_of(r)][float(length)].append(r)
    candidates = []
    for by_chance in by_rest.values():
        lengths = max((tuple(sorted(by)) for by in by_chance.values()), key=lambda s: (len(s), s))
        alike = [by for by in by_chance.values() if tuple(sorted(by)) == lengths]
        if len(lengths) > 1:
            candidates.append(
                (len(lengths), [r for by in alike for own in by.values() for r in own])
            )
    return max(candidates, key=lambda c: (c[0], len(c[1])), default=(0, []))[1]


def adapting_curves(records: Sequence[Record], own_value: OwnValue = value_in_conf) -> list[Curve]:
    """The curves of `over_lengths`, by target, then in the order of methods."""
    by_place: dict[Place, list[Record]] = defaultdict(list)
    for r in records:
        by_place[r["dataset"], r["method"]].append(r)
    order = drawing_order(cards(records))
    return [
        _curve(by_place[place], own_value)
        for place in sorted(by_place, key=lambda p: (p[0], order.index(p[1])))
    ]


def _curve(runs: Sequence[Record], own_value: OwnValue) -> Curve:
    key = length_key(runs[0])
    assert key is not None
    by_length: dict[float, list[Record]] = defaultdict(list)
    for r in runs:
        by_length[settings_of(r)[key]].append(r)
    own = own_value(runs[0], key)
    points = tuple(
        Point(
            length=length,
            seconds=units(by_length[length], adapting_seconds),
            distance=units(by_length[length], metric(METRIC)),
            is_own=length == own,
        )
        for length in sorted(by_length)
    )
    return Curve(dataset=runs[0]["dataset"], method=runs[0]["method"], key=key, points=points)


def draw_adapting_time(
    curves: Sequence[Curve], known: Mapping[str, Json], stem: Path
) -> list[Path]:
    """A panel per target, a line per method, a ring around the length that the suite gives it."""
    datasets = sorted({c.dataset for c in curves})
    columns = min(3, len(datasets))
    rows = math.ceil(len(datasets) / columns)
    points = [p for c in curves for p in c.points]
    with style():
        width = COLUMN if columns == 1 else PAGE
        figure = new_figure(width, 2.2 * rows + (0.9 if columns == 1 else 0.55))
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        panels[0, 0].set(xscale="log", yscale="log")
        panels[0, 0].set_xlim(limits([p.seconds.mean for p in points], True))
        panels[0, 0].set_ylim(limits([p.distance.mean for p in points], True))
        for axes, dataset in zip(panels.flat, datasets, strict=False):
            for c in (c for c in reversed(curves) if c.dataset == dataset):
                line = [(p.seconds.mean, p.distance) for p in c.points]
                draw_curve(axes, line, look(c.method, known[c.method]))
                for x, y in (pair for pair, p in zip(line, c.points, strict=True) if p.is_own):
                    axes.plot(x, y.mean, "o", mfc="none", mec=EDGE, mew=0.8, ms=8, zorder=5)
            axes.set_title(dataset)
            plain_log_ticks(axes.xaxis)
            plain_log_ticks(axes.yaxis)
            axes.set_xlabel("time to adapt, s (ring: the suite's setting)")
        for axes in panels[:, 0]:
            axes.set_ylabel(metric_card(METRIC).title)
        for axes in list(panels.flat)[len(datasets) :]:
            axes.set_axis_off()
        shown = {c.method: known[c.method] for c in curves}
        method_legend(figure, shown, 3 if columns == 1 else 6, lines=True)
        return save(figure, stem)


def adapting_table(curves: Sequence[Curve], known: Mapping[str, Json]) -> str:
    """The numbers of the figure in Markdown; the length that the suite gives a method is bold."""
    heads = ("target", "method", "setting", "time to adapt, s", metric_card(METRIC).title)
    lines = []
    for c in curves:
        for p in c.points:
            setting = f"`{c.key.removeprefix('method.')}={p.length:g}`"
            setting = f"**{setting}**" if p.is_own else setting
            numbers = p.seconds.text(0), p.distance.text(2)
            lines.append((c.dataset, label_of(known[c.method]), setting, *numbers))
    return grid(heads, lines, 3) + "\n"


def adapting_time(
    records: Sequence[Record], stem: Path, own_value: OwnValue = value_in_conf
) -> list[Path]:
    """Writes the figure of the records of `over_lengths`, and stem.md with its numbers."""
    curves, known = adapting_curves(records, own_value), cards(records)
    table = stem.with_name(f"{stem.name}.md")
    made = draw_adapting_time(curves, known, stem)
    write_bytes(table, adapting_table(curves, known).encode())
    return [*made, table]
