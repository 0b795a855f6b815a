"""How a metric is shown: the `card:` of conf/metric/NAME.yaml, which enters no key.

A record holds the cards of its metrics. Records from before cards take those of conf/metric, by
name; a metric without a card anywhere is shown by its name, with four decimals and no direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Literal, get_args

from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Json, Record

Better = Literal["lower", "higher", "none", "like_real"]
ARROWS: Mapping[str, str] = {"lower": "↓", "higher": "↑", "none": "", "like_real": ""}
FOLDER = CONF / "metric"


@dataclass(frozen=True, kw_only=True)
class MetricCard:
    """How a metric is shown."""

    heading: str
    decimals: int = 4
    better: Better = "none"  # like_real: best where real images score the same
    published: Better | None = None  # how papers read it, where that is another direction
    significant: int | None = None  # digits that tables show at most, from the first one on
    factor: float = 1.0  # what a value is multiplied by before it is shown
    distance: bool = False  # to the reference: reported where copies of the shots score better
    max_samples: int | None = None  # more are refused before a run; None: computed by blocks
    main: bool = False  # stands first where there is room for few metrics
    is_p_value: bool = False  # the difference of two p-values says nothing: none is shown
    after: str | None = None  # of a metric that `ours` had once: the metric that its column follows

    @property
    def arrow(self) -> str:
        """The direction that is better, or ""."""
        return ARROWS[self.better]

    @property
    def title(self) -> str:
        """Heading and arrow."""
        return f"{self.heading} {self.arrow}".strip()

    @property
    def claimed(self) -> Better:
        """The direction that papers give it."""
        return self.published or self.better

    @property
    def claimed_title(self) -> str:
        """Heading and the arrow that papers give it."""
        return f"{self.heading} {ARROWS[self.claimed]}".strip()

    def decimals_for(self, values: Iterable[float]) -> int:
        """How many decimals a table shows of its values, which are in the unit of the heading."""
        largest = max(map(abs, values), default=0.0)
        if self.significant is None or largest < 1:
            return self.decimals
        before_point = len(str(int(largest)))
        return min(self.decimals, max(0, self.significant - before_point))

    def text(self, value: float) -> str:
        """A value as tables show it."""
        shown = value * self.factor
        return f"{shown:.{self.decimals_for([shown])}f}"


KEYS = tuple(field.name for field in fields(MetricCard))


def check_card(name: str, node: object) -> None:
    """Raises ValueError where a metric's `card` has an unknown key or an impossible value."""
    if node is None:
        return
    if not isinstance(node, Mapping) or "heading" not in node:
        raise ValueError(f"the card of metric {name} is {node!r}; give a mapping with a heading")
    if unknown := sorted(set(map(str, node)) - set(KEYS)):
        raise ValueError(
            f"the card of metric {name} has the key {unknown[0]}; known are {', '.join(KEYS)}"
        )
    for key in ("better", "published"):
        better = node.get(key, "none")
        if better not in get_args(Better) and not (key == "published" and better is None):
            raise ValueError(
                f"the card of metric {name} has {key}={better!r}; choose one of {', '.join(ARROWS)}"
            )
    decimals = node.get("decimals", 4)
    if not isinstance(decimals, int) or isinstance(decimals, bool) or decimals < 0:
        raise ValueError(
            f"the card of metric {name} has decimals={decimals!r}; give a whole number from 0"
        )
    for key in ("max_samples", "significant"):
        limit = node.get(key)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise ValueError(
                f"the card of metric {name} has {key}={limit!r}; give a whole number from 1"
            )
    for key in ("is_p_value", "main"):
        if not isinstance(node.get(key, False), bool):
            raise ValueError(
                f"the card of metric {name} has {key}={node[key]!r}; give true or false"
            )
    factor = node.get("factor", 1.0)
    if not isinstance(factor, int | float) or isinstance(factor, bool):
        raise ValueError(f"the card of metric {name} has factor={factor!r}; give a number")


@cache
def committed_cards() -> Mapping[str, Json]:
    """The cards in conf/metric by the file's name; a file takes its `defaults`' card."""
    import yaml

    nodes = {path.stem: yaml.safe_load(path.read_text()) or {} for path in FOLDER.glob("*.yaml")}

    def card(name: str) -> Json | None:
        node = nodes.get(name, {})
        inherited = (card(other) for other in node.get("defaults", ()) if other != "_self_")
        found: Json | None = node.get("card") or next(filter(None, inherited), None)
        return found

    return {name: found for name in sorted(nodes) if (found := card(name))}


@cache
def protocol_order() -> tuple[str, ...]:
    """The metrics of conf/protocol/ours.yaml, in its order: that of every table's columns.

    A metric that an earlier version had keeps its place behind the one that its card names.
    """
    import yaml

    node = yaml.safe_load((CONF / "protocol" / "ours.yaml").read_text())
    keys = [key for entry in node["defaults"] if isinstance(entry, Mapping) for key in entry]
    order = [key.rpartition("metrics.")[2] for key in keys if "@metrics." in key]
    for name, card in committed_cards().items():
        if name not in order and (before := card.get("after")) in order:
            order.insert(order.index(before) + 1, name)
    return tuple(order)


def metric_card(name: str, records: Iterable[Record] = ()) -> MetricCard:
    """The card of a metric: of the first record that holds one, else of conf/metric."""
    for record in records:
        metrics = record.get("config", {}).get("protocol", {}).get("metrics", {})
        if node := (metrics.get(name) or {}).get("card"):
            return _from_node(_as_today(name, node))
    return _from_node(committed_cards().get(name, {"heading": name}))


def _as_today(name: str, node: Json) -> Json:
    """A record's card with today's direction, where it has the one that papers give the metric."""
    today = committed_cards().get(name, {})
    if "published" not in today or node.get("better") != today["published"]:
        return node
    return {**node, "better": today["better"], "published": today["published"]}


def _from_node(node: Json) -> MetricCard:
    # A record of a later version may know more keys.
    return MetricCard(**{key: value for key, value in node.items() if key in KEYS})


def metric_names(records: Sequence[Record]) -> list[str]:
    """Every metric of the records: in the protocol's order, then the others by name."""
    there = {name for record in records for name in record["metrics"]}
    known = [name for name in protocol_order() if name in there]
    return known + sorted(there.difference(known))


def metric_cards(records: Sequence[Record]) -> dict[str, MetricCard]:
    """The card of every metric of the records, in the order of `metric_names`."""
    return {name: metric_card(name, records) for name in metric_names(records)}


def key_metrics(records: Sequence[Record]) -> list[str]:
    """The few metrics that stand for all in a short line: those whose cards say `main`.

    Where the records have fewer than two of these, they are a distance to the reference and another
    metric, each the first of its kind in the order of `metric_names`; where there is one kind only,
    the first two of it.
    """
    cards = metric_cards(records)
    today = committed_cards()
    main = [name for name in cards if cards[name].main or today.get(name, {}).get("main")]
    if len(main) > 1:
        return main
    distances = [name for name, card in cards.items() if card.distance]
    others = [name for name, card in cards.items() if not card.distance]
    return [*distances[:1], *others[: 1 if distances else 2], *distances[1:]][:2]


def added_metrics(records: Sequence[Record]) -> list[str]:
    """The metrics of the records that conf/protocol/ours.yaml does not have, by name."""
    return [name for name in metric_names(records) if name not in protocol_order()]
