"""The first view of the index: for each setting ranks, figures and strips of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.api.plain import Json, Record
from fsig_bench.metrics.cards import MetricCard, key_metrics, metric_names
from fsig_bench.report.html.ranking import RankDiagram, rank_diagram
from fsig_bench.report.html.rows import Row
from fsig_bench.report.html.scatter import Scatter, Spot, mean_spots, scatter, spot_of
from fsig_bench.report.html.strips import ShotsOf, StripBlock, StripOf, strip_block
from fsig_bench.report.html.symbols import Sign, Symbol
from fsig_bench.report.inference.sentences import unit_words
from fsig_bench.report.variants import main_variant

ALL = "all"  # the place that stands for the mean over targets
DIVERSITY = "intra_lpips"  # has a figure in any case: every paper prints it


@dataclass(frozen=True, kw_only=True)
class Place:
    """One target, or the mean over all of them."""

    name: str
    title: str
    figures: tuple[Scatter, ...]


@dataclass(frozen=True, kw_only=True)
class View:
    """One setting."""

    setting: str
    ranks: tuple[RankDiagram, ...]
    places: tuple[Place, ...]
    legend: tuple[Spot, ...]
    strips: tuple[StripBlock, ...]
    has_strips: bool
    numbers: tuple[tuple[str, ...], ...]  # a heading line, then a line for each method


def make_view(
    rows: Sequence[Row],
    records: Sequence[Record],
    cards: Mapping[str, MetricCard],
    strip_of: StripOf,
    shots_of: ShotsOf,
) -> View:
    """The view of one setting.

    Args:
        rows: of the setting, methods before controls.
        records: of the same setting.
        cards: of all metrics.
        strip_of: a run's samples.
        shots_of: the shots of a run's target.
    """
    main = [row for row in rows if not row.differs]
    ranked = list(main_variant(records))
    names = metric_names(records)
    diagrams = [found for name in names if (found := rank_diagram(ranked, name))]
    spots: dict[str, dict[str, Spot]] = {}
    for row in main:
        spots.setdefault(row.dataset, {})[row.method] = spot_of(row)
    places = []
    if len(spots) > 1:
        where = f"Means over the {len(spots)} targets, of methods that have all of them."
        places.append(make_place(ALL, where, mean_spots(spots), records, cards))
    for target, own in spots.items():
        where = where_text(target, [row for row in main if row.dataset == target])
        places.append(make_place(target, where, list(own.values()), records, cards))
    legend = {name: spot for own in spots.values() for name, spot in own.items()}
    blocks = tuple(strip_block(t, main, strip_of, shots_of) for t in spots)
    return View(
        setting=rows[0].setting,
        ranks=tuple(diagrams),
        places=tuple(p for p in places if p.figures),
        legend=tuple(sorted(legend.values(), key=lambda s: s.control)),
        strips=blocks,
        has_strips=any(row.strip for block in blocks for row in block.rows),
        numbers=tuple(numbers_of(diagrams)),
    )


def where_text(target: str, rows: Sequence[Row]) -> str:
    """What the marks of a target's figures are, and the lines through them where there are any."""
    units = [n.units for row in rows for n in row.numbers if n.units and n.units.std]
    if not units:
        return f"Means on {target}."
    over = unit_words(units)
    if not any(u.axis == "subset" for u in units):
        over += ", which have one set of shots"
    return f"Means on {target}; lines through a mark are one standard deviation over its {over}."


def make_views(
    rows: Sequence[Row],
    settings: Sequence[Json],
    cards: Mapping[str, MetricCard],
    strip_of: StripOf,
    shots_of: ShotsOf,
) -> list[View]:
    """The views of all settings, in the order of `settings`."""
    out = []
    for setting in settings:
        own = [row for row in rows if row.setting == setting["id"]]
        records = [record for row in own for record in row.records]
        out.append(make_view(own, records, cards, strip_of, shots_of))
    return out


def symbols_of(signs: Iterable[Sign]) -> list[Symbol]:
    """The definitions that a page needs, each once."""
    found = {sign.symbol.name: sign.symbol for sign in signs}
    return [found[name] for name in sorted(found)]


def view_signs(views: Sequence[View]) -> Iterator[Sign]:
    """Every sign of the views."""
    for view in views:
        yield from (spot.sign for spot in view.legend)
        yield from (line.sign for diagram in view.ranks for line in diagram.lines)
        yield from (row.sign for block in view.strips for row in block.rows)


def make_place(
    place: str,
    where: str,
    spots: Sequence[Spot],
    records: Sequence[Record],
    cards: Mapping[str, MetricCard],
) -> Place:
    """The figures of one target: quality against diversity, evaluations, seconds."""
    chosen = key_metrics(records)
    if DIVERSITY in cards and DIVERSITY not in chosen:
        chosen.append(DIVERSITY)
    quality = chosen[0]
    card, count = cards[quality], records[0]["num_images"]
    wanted = [
        (
            other,
            (f"{card.heading} and {cards[other].heading}", cards[other].title),
            cards[other].better,
        )
        for other in chosen[1:]
    ]
    for x, word in (("evaluations", "network evaluations"), ("seconds", "seconds")):
        title = f"{word} to adapt and draw {count} images (log) ↓"
        wanted.append((x, (f"{card.heading} and cost in {word}", title), "lower"))
    found = [
        scatter(spots, x=x, y=card, y_name=quality, titles=titles, better=better, where=where)
        for x, titles, better in wanted
    ]
    title = "the mean over targets" if place == ALL else place
    return Place(name=place, title=title, figures=tuple(f for f in found if f))


def numbers_of(diagrams: Sequence[RankDiagram]) -> list[tuple[str, ...]]:
    """The mean ranks behind the diagrams, as a table: methods down, metrics across."""
    if not diagrams:
        return []
    labels = list(dict.fromkeys(line.label for d in diagrams for line in d.lines))
    by = [
        {line.label: line.text.partition(": mean rank ")[2] for line in d.lines} for d in diagrams
    ]
    lines = [("Method", *(d.heading for d in diagrams))]
    return lines + [(label, *(own.get(label, "-") for own in by)) for label in labels]
