"""`conf/table/NAME.yaml`, checked and immutable; docs/tables.md explains the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.metrics.cards import ARROWS

FOLDER = CONF / "table"
KINDS = {"paper": "panels", "records": "targets"}  # of a table, with the key that only it has
OPTIONAL = ("axis", "cite", "experiments", "expected", "look_at")
AXES = ("seed", "subset")
COLUMN_KEYS = ("domain", "metric", "shots", "paper", "table", "label", "rerun", "ours")


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """A printed metric; those of our own records have their cards."""

    better: str  # a key of ARROWS
    decimals: int
    label: str

    @property
    def arrow(self) -> str:
        return ARROWS[self.better]


@dataclass(frozen=True, kw_only=True)
class ColumnSpec:
    """A printed column and the protocols of our two columns to its right."""

    domain: str
    metric: str
    shots: int
    paper: str
    table: str
    label: str
    rerun: str | None
    ours: str | None


@dataclass(frozen=True, kw_only=True)
class PanelSpec:
    title: str
    columns: tuple[ColumnSpec, ...]


@dataclass(frozen=True, kw_only=True)
class ExpectedSpec:
    """Where a rerun of one printed number should land, in the units of the table."""

    method: str  # these four as printed
    domain: str
    metric: str
    shots: int
    low: float
    high: float
    why: str

    @property
    def place(self) -> tuple[str, str, str, int]:
        return self.method, self.domain, self.metric, self.shots


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    name: str
    kind: str  # paper: printed numbers with ours to their right; records: records of one suite
    title: str
    caption: str
    source: str
    cite: tuple[str, ...]
    suite: str
    shots: int
    num_images: int
    seeds: tuple[int, ...]  # what the commands vary
    methods: tuple[str, ...]  # kind paper: rows, as printed; kind records: rows to ask for
    metrics: Mapping[str, MetricSpec]  # kind paper, as printed
    panels: tuple[PanelSpec, ...]  # kind paper
    targets: tuple[str, ...]  # kind records: columns of every panel
    own_metrics: tuple[str, ...]  # kind records: a panel each, and one for each added metric
    ours: str | None  # the protocol of our own columns
    experiments: Mapping[str, str]  # the harness's method -> the experiment that runs it
    expected: tuple[ExpectedSpec, ...]
    look_at: Mapping[str, tuple[str, ...]]  # method, as printed -> causes of a number elsewhere
    axis: str = "seed"  # or subset, where an experiment ties seed and draw to it
    config_dir: Path | None = None  # YAML of the user's own


def table_names(folder: Path = FOLDER) -> list[str]:
    """Every table that there is."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def check_keys(node: object, needed: Sequence[str], optional: Sequence[str], what: str) -> JsonDict:
    """The mapping, once it holds every needed key and no unknown one."""
    if not isinstance(node, Mapping):
        raise ValueError(f"{what} is {node!r}; give a mapping")
    if missing := [k for k in needed if node.get(k) is None]:
        raise ValueError(f"{what} lacks {', '.join(missing)}")
    if unknown := [str(k) for k in node if k not in (*needed, *optional)]:
        known = ", ".join((*needed, *optional))
        raise ValueError(f"{what} has unknown keys {', '.join(unknown)}; known are {known}")
    return dict(node)


def metric_spec(name: str, node: object) -> MetricSpec:
    """How a metric is read and shown."""
    node = check_keys(node, ("better", "decimals"), ("label",), f"metric {name}")
    if node["better"] not in ARROWS:
        raise ValueError(
            f"metric {name}: better={node['better']!r}; choose one of {', '.join(ARROWS)}"
        )
    return MetricSpec(
        better=node["better"], decimals=int(node["decimals"]), label=node.get("label") or name
    )


def column_spec(node: object, defaults: Json, metrics: Json) -> ColumnSpec:
    """A column; what it does not say is as for the whole table."""
    node = {**defaults, **check_keys(node, ("domain", "metric"), COLUMN_KEYS[2:], "a column")}
    if node["metric"] not in metrics:
        raise ValueError(f"column {node['domain']} shows {node['metric']}, not one of its metrics")
    return ColumnSpec(**{k: node[k] for k in COLUMN_KEYS} | {"label": node["label"] or ""})


def expected_spec(node: object, shots: int) -> ExpectedSpec:
    """Where a number should land; `shots` is the table's."""
    needed = ("method", "domain", "metric", "low", "high", "why")
    values: JsonDict = {"shots": shots} | check_keys(node, needed, ("shots",), "expected")
    if not float(values["low"]) < float(values["high"]):
        raise ValueError(f"expected: low={values['low']} is not below high={values['high']}")
    return ExpectedSpec(**values)


def parse_spec(name: str, node: object) -> TableSpec:
    """A specification from its plain values.

    Raises:
        ValueError: a key is missing, unknown or has a value that cannot be.
    """
    kind = node.get("kind") if isinstance(node, Mapping) else None
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind={kind!r}; choose paper or records")
    needed = ("kind", "title", "caption", "source", "suite", "shots", "num_images", "seeds")
    parts = ("methods", "metrics", KINDS.get(str(kind), "panels"))
    node = check_keys(node, (*needed, *parts), OPTIONAL, "the table")
    source = check_keys(
        node["source"], ("statement",), ("paper", "table", "rerun", "ours"), "source"
    )
    defaults = {
        "shots": node["shots"],
        "paper": source.get("paper") or "",
        "table": source.get("table") or "",
        "rerun": source.get("rerun"),
        "ours": source.get("ours"),
        "label": "",
    }
    printed = node["metrics"] if kind == "paper" else {}
    metrics = {k: metric_spec(k, v) for k, v in printed.items()}
    if (axis := node.get("axis", "seed")) not in AXES:
        raise ValueError(f"axis={axis!r}; choose seed or subset")
    panels = [check_keys(p, ("columns",), ("title",), "a panel") for p in node.get("panels", ())]
    return TableSpec(
        name=name,
        source=source["statement"],
        cite=tuple(node.get("cite") or ()),
        seeds=tuple(node["seeds"]),
        methods=tuple(node["methods"]),
        metrics=metrics,
        panels=tuple(
            PanelSpec(
                title=p.get("title") or "",
                columns=tuple(column_spec(c, defaults, metrics) for c in p["columns"]),
            )
            for p in panels
        ),
        targets=tuple(node.get("targets", ())),
        own_metrics=tuple(node["metrics"]) if kind == "records" else (),
        ours=source.get("ours"),
        experiments=dict(node.get("experiments") or {}),
        axis=axis,
        expected=tuple(expected_spec(e, node["shots"]) for e in node.get("expected") or ()),
        look_at={row: tuple(causes) for row, causes in (node.get("look_at") or {}).items()},
        **{k: node[k] for k in ("kind", "title", "caption", "suite", "shots", "num_images")},
    )


def load_spec(name: str, folder: Path = FOLDER, *, config_dir: Path | None = None) -> TableSpec:
    """The specification of a table.

    Args:
        name: of the table.
        folder: of the YAML files.
        config_dir: a folder of the user's own, whose `table` comes first.

    Raises:
        ValueError: there is no such table, or its file is malformed.
    """
    from omegaconf import OmegaConf

    folders = [*([config_dir / "table"] if config_dir else []), folder]
    places = [place / f"{name}.yaml" for place in folders]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        known = sorted({n for place in folders for n in table_names(place)})
        raise ValueError(f"no table {name!r}; there are {', '.join(known)}")
    try:
        spec = parse_spec(name, OmegaConf.to_container(OmegaConf.load(path)))
        return replace(spec, config_dir=config_dir)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
