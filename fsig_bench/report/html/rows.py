"""Records to table rows, with the mean and the spread of the runs of a row. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.metrics.cards import MetricCard, metric_names
from fsig_bench.report.html.links import (
    method_label,
    protocol_label,
    run_label,
    run_page,
    short_digest,
)
from fsig_bench.report.html.marks import Mark, Marks, marks_of
from fsig_bench.report.inference.ranks import change_line, rank_line
from fsig_bench.report.inference.sentences import spread_of_records
from fsig_bench.report.inference.units import Units, chance_of, mean_by_chance, units_of
from fsig_bench.report.records import KINDS, comparable_setting
from fsig_bench.report.variants import group_by_settings, main_variant, protocol_differences

NAMED_FIRST = ("version", "num_images", "reference")  # differences of protocols to be named first


@dataclass(frozen=True, kw_only=True)
class Number:
    """A metric's number in a row."""

    metric: str
    text: str  # mean ± standard deviation, or a dash
    mean: float | None
    href: str
    units: Units | None = None  # what the deviation is the spread of
    mark: str = ""  # best, second or open, see `marks`


@dataclass(frozen=True, kw_only=True)
class Row:
    """All runs of one method, with one set of settings, on one dataset under one protocol."""

    id: str
    setting: str
    suite: str
    protocol: str
    k: int
    num_images: int
    method: str  # as rows name it
    name: str  # as commands name it
    differs: str  # in which settings it departs from the method's most frequent ones
    kind: str
    dataset: str
    records: tuple[Record, ...]
    numbers: tuple[Number, ...]

    @property
    def page(self) -> str:
        return f"rows/{self.id}.html"

    @property
    def href(self) -> str:
        """What its numbers lead to: the run, or the page with all of them."""
        return run_page(self.records[0]) if len(self.records) == 1 else self.page

    @property
    def runs(self) -> str:
        """How many runs there are, and on how many levels of what."""
        if len(self.records) == 1:
            return f"1 ({run_label(self.records[0])})"
        chances = [chance_of(record) for record in self.records]
        shots, seeds, draws = (len(set(levels)) for levels in zip(*chances, strict=True))
        words = [f"{seeds} seeds"] if seeds > 1 else []
        words += [f"{shots} sets of shots"] if shots > 1 else []
        if draws > 1 and any(chance.draw != chance.seed for chance in chances):
            words.append(f"{draws} draws")
        return f"{len(self.records)} ({', '.join(words) or 'one seed'})"


def run_order(record: Record) -> tuple[int | str, ...]:
    """Runs of a row by seed, subset and draw."""
    chance = chance_of(record)
    return chance.seed, chance.subset, chance.draw, record["run_id"]


def setting_id(record: Record) -> str:
    """What must agree for numbers to share a table, as one word."""
    return short_digest(repr(comparable_setting(record)))[:8]


def make_number(records: Sequence[Record], metric: str, card: MetricCard, page: str) -> Number:
    """A number and its link: to the run's page, or to the page that lists the runs."""
    found = [(r, r["metrics"].get(metric, {}).get("value")) for r in records]
    values = [(r, v * card.factor) for r, v in found if v is not None]
    href = f"{run_page(records[0])}#m-{metric}" if len(records) == 1 else f"{page}#m-{metric}"
    if not values:
        return Number(metric=metric, text="-", mean=None, href=href)
    units = units_of(mean_by_chance(values))
    text = units.text(card.decimals_for([units.mean]))
    return Number(metric=metric, text=text, mean=units.mean, href=href, units=units)


def all_marks(records: Sequence[Record], cards: Mapping[str, MetricCard]) -> Marks:
    """The marks of all settings."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        groups[setting_id(r)].append(r)
    found: dict[tuple[str, str], Mark] = {}
    for group in groups.values():
        found |= marks_of(group, [m for m in metric_names(group) if m in cards])
    return found


def make_rows(records: Sequence[Record], cards: Mapping[str, MetricCard]) -> list[Row]:
    """One row for each dataset and method with its settings, methods before controls."""
    marks = all_marks(records, cards)
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for r in records:
        groups[(setting_id(r), r["method"], r["dataset"])].append(r)
    out = []
    for key, group in groups.items():
        for differs, own in group_by_settings(group):
            ordered = sorted(own, key=run_order)
            first = ordered[0]
            label = method_label(first) + (f" [{differs}]" if differs else "")
            row_id = short_digest(repr((*key, differs)))
            out.append(
                Row(
                    id=row_id,
                    setting=key[0],
                    suite=first["suite"],
                    protocol=protocol_label(first),
                    k=first["k"],
                    num_images=first["num_images"],
                    method=label,
                    name=first["method"],
                    differs=differs,
                    kind=first["config"]["method"]["card"]["kind"],
                    dataset=first["dataset"],
                    records=tuple(ordered),
                    numbers=tuple(
                        replace(
                            make_number(ordered, m, card, f"rows/{row_id}.html"),
                            mark=next((marks.get((m, r["run_id"]), "") for r in ordered), ""),
                        )
                        for m, card in cards.items()
                    ),
                )
            )
    return sorted(out, key=row_order)


def row_order(row: Row) -> tuple[object, ...]:
    """Newest protocol first within a suite; methods before controls."""
    version = row.records[0]["config"].get("protocol", {}).get("version") or 0
    head = (row.suite, row.records[0]["protocol"], -version, row.setting, row.dataset)
    return (*head, KINDS.get(row.kind, 2), row.method)


def difference_rank(field: str) -> int:
    """Order of the differences between protocols; "version (3 / 2)" comes first."""
    name = field.split(" ")[0]
    return NAMED_FIRST.index(name) if name in NAMED_FIRST else len(NAMED_FIRST)


def setting_notes(group: Sequence[Record], others: Sequence[Record]) -> list[str]:
    """What a reader of one table must know; `others`: one record of each unlike setting."""
    first = group[0]
    names = {m["extractor"] for r in group for m in r["metrics"].values() if "extractor" in m}
    out = spread_of_records(main_variant(group))
    out += [f"Features: {', '.join(sorted(names))}."] if names else []
    if first["config"].get("protocol", {}).get("reference") == "shots":
        out.append("Distances are to the shots themselves, so copies of the shots score best.")
    if first["suite"] == "mini":
        out.append("Numbers of the mini suite cannot be compared with published ones.")
    for other in others:
        if other["suite"] == first["suite"] and other["k"] == first["k"]:
            fields = sorted(protocol_differences(first, other), key=difference_rank)
            named = "; ".join(fields[:3]) + (f"; {len(fields) - 3} more" if fields[3:] else "")
            name = f"{protocol_label(other)}, {other['num_images']} samples"
            out.append(f"Not to be compared with {name} (one / other): {named}.")
    return out


def rank_text(records: Sequence[Record], metric: str) -> str:
    """The methods' mean ranks, and what new shots may do to them; "" where there are none."""
    lines = (say(records, metric) for say in (rank_line, change_line))
    return " ".join(line for line in lines if line)


def list_settings(records: Sequence[Record], metrics: Sequence[str]) -> list[JsonDict]:
    """The settings that a pivot table may have, the one with the most runs first."""
    count = Counter(setting_id(r) for r in records)
    groups = {s: [r for r in records if setting_id(r) == s] for s in count}
    out = []
    for s in sorted(count, key=lambda s: (-count[s], s)):
        group, first = groups[s], groups[s][0]
        own = metric_names(group)
        others = [g[0] for t, g in sorted(groups.items()) if t != s]
        main = main_variant(group)
        ranked = {m: text for m in metrics if m in own and (text := rank_text(main, m))}
        label = (
            f"{first['suite']}, {protocol_label(first)}, {first['k']} shots, "
            f"{first['num_images']} samples: {count[s]} runs"
        )
        notes = setting_notes(group, others)
        out.append({"id": s, "label": label, "notes": notes, "ranks": ranked, "metrics": own})
    return out
