"""Entries of the leaderboard to the rows of its page. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import MetricCard, metric_card, metric_names
from fsig_bench.pictures.strip import STRIP
from fsig_bench.report.board.entries import Entry
from fsig_bench.report.html.links import method_label, short_digest
from fsig_bench.report.html.rows import make_number
from fsig_bench.report.html.run_page import format_value
from fsig_bench.report.records import KINDS
from fsig_bench.report.variants import group_by_settings

RANKED = {"lower": 1, "higher": -1}  # metrics without a direction rank nothing


@dataclass(frozen=True, kw_only=True)
class Value:
    """A metric's number in a row."""

    metric: str
    text: str  # mean ± standard deviation over the units, or a dash
    mean: float | None
    rank: int | None  # among the methods of the track on this dataset, 1 is best


@dataclass(frozen=True, kw_only=True)
class Row:
    """One lab's runs of one method, with one set of settings, on one dataset of one track."""

    id: str
    version: str
    suite: str
    protocol: str
    hash: str
    k: int
    num_images: int
    dataset: str
    method: str
    kind: str
    who: str
    standing: str
    added: str  # the date of the latest run
    code: str
    runs: int
    values: tuple[Value, ...]
    facts: tuple[tuple[str, str], ...]
    strip: str | None  # the picture of the first samples, below the board's folder
    strip_count: int

    @property
    def group(self) -> str:
        """What rows of one ranking share."""
        return f"{self.version}/{self.hash}/{self.k}/{self.num_images}/{self.dataset}"


def board_cards(entries: Sequence[Entry]) -> dict[str, MetricCard]:
    """The cards of all metrics, in the tables' order, as conf/metric has them here.

    A record's own cards do not count: they could turn a direction round.
    """
    return {name: metric_card(name) for name in metric_names([e.record for e in entries])}


def make_rows(board: Path, entries: Sequence[Entry], cards: Mapping[str, MetricCard]) -> list[Row]:
    """The rows in order: newest version first, within a track by the first metric's mean."""
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for e in entries:
        r = e.record
        run = (e.version, e.track.title, r["dataset"], e.facts["who"], r["method"])
        groups[(*run, e.facts["standing"])].append(e)
    rows = []
    for key, group in groups.items():
        of = {id(e.record): e for e in group}
        for differs, own in group_by_settings([e.record for e in group]):
            ordered = sorted(own, key=lambda r: (r["seed"], r.get("subset", 0), r["run_id"]))
            rows.append(make_row(board, key, differs, [of[id(r)] for r in ordered], cards))
    return sorted(with_ranks(rows, cards), key=lambda row: row_order(row, cards))


def make_row(
    board: Path,
    key: tuple[str, ...],
    differs: str,
    entries: Sequence[Entry],
    cards: Mapping[str, MetricCard],
) -> Row:
    """One row, of at least one entry; ranks come later."""
    first, record = entries[0], entries[0].record
    strip = next((path for e in entries if (path := e.strip)), None)
    label = method_label(record) + (f" [{differs}]" if differs else "")
    return Row(
        id=f"e-{short_digest(repr((*key, differs)))[:10]}",
        version=first.version,
        suite=record["suite"],
        protocol=first.track.rules,
        hash=first.track.hash,
        k=record["k"],
        num_images=record["num_images"],
        dataset=record["dataset"],
        method=label,
        kind=record["config"]["method"]["card"]["kind"],
        who=first.facts["who"],
        standing=first.facts["standing"],
        added=max(e.facts["added"] for e in entries)[:10],
        code=code_of(record),
        runs=len(entries),
        values=tuple(make_value(name, card, entries) for name, card in cards.items()),
        facts=tuple(facts_of(entries, cards)),
        strip=None if strip is None else quote(strip.relative_to(board).as_posix()),
        strip_count=min(STRIP, first.track.scored),
    )


def make_value(name: str, card: MetricCard, entries: Sequence[Entry]) -> Value:
    """A metric's mean over the runs of a row."""
    number = make_number([e.record for e in entries], name, card, "")
    return Value(metric=name, text=number.text, mean=number.mean, rank=None)


def with_ranks(rows: Sequence[Row], cards: Mapping[str, MetricCard]) -> list[Row]:
    """Rows with ranks among methods whose numbers were scored again; equal numbers share one."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.kind == "method" and row.standing == "re-scored":
            groups[row.group].append(row)
    ranks: dict[tuple[str, str], int] = {}
    for group in groups.values():
        for n, (name, card) in enumerate(cards.items()):
            sign = RANKED.get(card.better, 0)
            own = [(sign * v, r.id) for r in group if (v := r.values[n].mean) is not None]
            for value, row_id in own if sign else []:
                ranks[row_id, name] = 1 + sum(other < value for other, _ in own)
    return [
        replace(
            row,
            values=tuple(replace(v, rank=ranks.get((row.id, v.metric))) for v in row.values),
        )
        for row in rows
    ]


def row_order(row: Row, cards: Mapping[str, MetricCard]) -> tuple[object, ...]:
    """Track by track, dataset by dataset; methods before controls, the ranked before the others."""
    head = (row.version, row.suite, row.protocol, row.hash, row.k, row.num_images, row.dataset)
    first = next((v.rank for v in row.values if v.rank is not None), 10**9)
    return (*head, KINDS.get(row.kind, 2), first, row.method, row.who)


def code_of(record: Record) -> str:
    """The harness and the method's code that made a run, in short."""
    e = record["environment"]
    commit = str(e.get("git_commit") or "")[:8]
    words = [f"fsig_bench {e.get('fsig_bench') or 'of unknown release'}"]
    words += [f"commit {commit}{' with changes' if e.get('git_dirty') else ''}"] if commit else []
    target = str(record["config"]["method"].get("_target_", ""))
    found = record.get("code", {}).get("classes", {}).get(target, {})
    if finger := found.get("fingerprint"):
        words.append(f"{target} {str(finger)[:8]}")
    return ", ".join(words)


def facts_of(
    entries: Sequence[Entry], cards: Mapping[str, MetricCard]
) -> Iterable[tuple[str, str]]:
    """What the page says about a row below its table."""
    records, facts = [e.record for e in entries], [e.facts for e in entries]
    first = records[0]
    runs = ", ".join(
        f"seed {r['seed']}, subset {r.get('subset', 0)}, draw {r['draw']}: {r['run_id']}"
        for r in records
    )
    yield "runs", runs
    yield "standing", standing_text(entries[0].facts["standing"], facts, cards)
    yield "handed in", ", ".join(sorted({f["made"][:10] for f in facts}))
    yield "added", ", ".join(sorted({f["added"][:10] for f in facts}))
    yield "code", "; ".join(sorted({code_of(r) for r in records}))
    yield "protocol hash", entries[0].track.hash
    spent = [sum(r["timing_s"][s] for s in ("adapt", "sample", "score")) for r in records]
    yield "seconds a run (claimed)", f"{sum(spent) / len(spent):,.1f}"
    for key, text in (
        ("nfe_adapt", "network evaluations to adapt (claimed)"),
        ("nfe_per_image", "network evaluations an image (claimed)"),
        ("trained_params", "trained parameters (claimed)"),
    ):
        yield text, ", ".join(dict.fromkeys(format_value(r.get(key)) for r in records))
    e = first["environment"]
    machine = [str(e[key]) for key in ("machine", "gpu") if e.get(key)]
    yield "machine (claimed)", ", ".join(machine) or "not stated"
    packages = (e.get("packages") or {}).items()
    yield "libraries (claimed)", ", ".join(f"{k} {v}" for k, v in packages if v)
    yield "state in the bundle", "yes" if any(f["state"] for f in facts) else "no"
    yield "bundles, sha256", ", ".join(sorted({f["bundle_sha256"] for f in facts}))
    # Settings as the lab states them, so that a reader can run the method again.
    yield (
        "settings of the method",
        json.dumps(
            {k: v for k, v in first["config"]["method"].items() if k != "card"}, sort_keys=True
        )[:2000],
    )


def standing_text(
    standing: str, facts: Sequence[Mapping[str, object]], cards: Mapping[str, MetricCard]
) -> str:
    """What was checked, in a sentence."""
    if standing == "claimed":
        return (
            "claimed: the record has a seal that fits and the version's protocol hash; its numbers "
            "were not computed again"
        )
    worst, name = 0.0, ""
    for fact in facts:
        rescored = fact["rescored"]
        assert isinstance(rescored, Mapping)
        for metric, found in rescored.items():
            if found["value"] is None or not found["allowed"]:
                continue
            share = abs(found["value"] - found["claimed"]) / found["allowed"]
            if share > worst:
                worst, name = share, cards[metric].heading if metric in cards else metric
    if not worst:
        return "re-scored: every number was computed again from the images, and came out the same"
    return (
        "re-scored: every number was computed again from the images; the largest difference, of "
        f"{name}, was {worst:.2g} of what is allowed"
    )
