"""`fsig-bench report dashboard ENTITY PROJECT [FOLDER]`: a wandb workspace as code.

The panels are data, a pure function of the records' protocol; a thin layer hands them to
wandb-workspaces. Metric names carry a protocol's hash, so a workspace belongs to one protocol: the
most frequent among the records below FOLDER (default results/runs).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from fsig_bench.api.plain import Record
from fsig_bench.console import exit_status
from fsig_bench.metrics.cards import MetricCard, metric_cards
from fsig_bench.report.figures.style import look
from fsig_bench.trackers.values import metric_prefix
from fsig_bench.words import parse_words

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

METHOD = "config:method.card.label"
CURVES = "adapt/"  # a prefix: methods name their own curves
PICTURES = ("samples", "nearest", "tsne", "reconstruction")
COSTS = ("total_s", "peak_mem_gib", "nfe_per_image", "trained_params")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel. Names of summary values are plain, of settings `config:NAME`."""

    kind: Literal["scatter", "bar", "line", "media"]
    title: str
    y: tuple[str, ...]  # what is shown: summary names, curve names or picture keys
    x: str | None = None
    group: str | None = None  # bars and lines: mean over the runs that share this setting
    log_x: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    title: str
    panels: tuple[Panel, ...]


def sections(
    protocol: str, protocol_hash: str, cards: Mapping[str, MetricCard], curves: Iterable[str]
) -> tuple[Section, ...]:
    """What the workspace shows.

    Args:
        protocol: name of the protocol whose numbers are shown.
        protocol_hash: its hash, as the records hold it.
        cards: of the metrics that there are, in the order of their panels.
        curves: names of the values that adaptations report.
    """
    head = metric_prefix(protocol, protocol_hash)

    def scatter(x: str, x_title: str, y: str, log_x: bool = False) -> Panel:
        return Panel(
            kind="scatter", title=f"{cards[y].title} against {x_title}", x=x, y=(f"{head}/{y}",),
            log_x=log_x,
        )  # fmt: skip

    quality = []
    if {"fd", "intra_lpips"} <= set(cards):
        quality.append(scatter(f"{head}/intra_lpips", cards["intra_lpips"].title, "fd"))
    if "fd" in cards:
        quality.append(scatter("cost/total_s", "wall time, s", "fd", log_x=True))
    bars = [
        Panel(kind="bar", title=card.title, y=(f"{head}/{name}",), group=METHOD)
        for name, card in cards.items()
    ]
    lines = [
        Panel(kind="line", title=name, x="adapt/done", y=(f"{CURVES}{name}",))
        for name in sorted(set(curves))
    ]
    pictures = [Panel(kind="media", title=p, y=(f"pictures/{p}",)) for p in PICTURES]
    costs = [Panel(kind="bar", title=c, y=(f"cost/{c}",), group=METHOD) for c in COSTS]
    rows = (
        ("Quality, diversity and cost", quality),
        (f"Metrics by method: {protocol} ({protocol_hash})", bars),
        ("Adaptation", lines),
        ("Samples", pictures),
        ("Cost by method", costs),
    )
    return tuple(Section(title=t, panels=tuple(panels)) for t, panels in rows if panels)


def run_colours(records: Sequence[Record]) -> dict[str, str]:
    """Run id -> the colour that the run's method has in figures and on pages."""
    return {r["run_id"]: look(r["method"], r["config"]["method"]["card"]).colour for r in records}


def build(
    entity: str,
    project: str,
    name: str,
    spec: Sequence[Section],
    colours: Mapping[str, str] = MappingProxyType({}),
) -> Workspace:
    """The spec as a wandb-workspaces workspace, not saved yet; `colours` by run id.

    Raises:
        ValueError: the library is missing; the message names the extra.
    """
    try:
        workspaces = import_module("wandb_workspaces.workspaces")
        panels = import_module("wandb_workspaces.reports.v2")
    except ImportError as error:
        raise ValueError(
            "the dashboard needs wandb-workspaces (pip install 'fsig-bench[dashboard]')"
        ) from error

    def axis(key: str) -> object:
        kind, _, rest = key.rpartition("config:")
        return panels.Config(rest) if kind == "" and rest != key else panels.SummaryMetric(key)

    def made(p: Panel) -> object:
        if p.kind == "media":
            return panels.MediaBrowser(title=p.title, media_keys=list(p.y))
        if p.kind == "line":
            return panels.LinePlot(title=p.title, x=p.x, y=list(p.y))
        if p.kind == "scatter":
            assert p.x is not None
            return panels.ScatterPlot(
                title=p.title, x=axis(p.x), y=axis(p.y[0]), log_x=p.log_x or None
            )
        by = {} if p.group is None else {"groupby": axis(p.group), "groupby_aggfunc": "mean"}
        return panels.BarPlot(title=p.title, metrics=[axis(k) for k in p.y], **by)

    runs = {run: workspaces.RunSettings(color=colour) for run, colour in colours.items()}
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            workspaces.Section(name=s.title, panels=[made(p) for p in s.panels], is_open=True)
            for s in spec
        ],
        runset_settings=workspaces.RunsetSettings(run_settings=runs),
    )


def spec_of(records: Sequence[Record], curves: Iterable[str]) -> tuple[Section, ...]:
    """The sections for the records' most frequent protocol."""
    counts = Counter((r["protocol"], r.get("protocol_hash", "")) for r in records)
    protocol = max(sorted(counts), key=lambda key: counts[key])
    own = [r for r in records if (r["protocol"], r.get("protocol_hash", "")) == protocol]
    return sections(*protocol, metric_cards(own), curves)


def curve_names(store: Path) -> set[str]:
    """The values that adaptations reported, from the curves below a store."""
    from fsig_bench.trackers.base import past_points

    points = [past_points(p) for p in sorted(store.glob("adapt/*/curve.jsonl"))]
    return {k for found in points for p in found[:1] for k in p} - {"done", "total"}


def main(words: Sequence[str]) -> int:
    """Builds the workspace and saves it.

    Raises:
        ValueError: wrong number of words, or no record below the folder.
        ValueError: wandb-workspaces is missing.
    """
    given = parse_words(words, word="report dashboard", keys=("results_dir",))
    if len(given.positional) not in (2, 3):
        raise ValueError("give entity and project: fsig-bench report dashboard ENTITY PROJECT")
    from fsig_bench.report.records import load, record_folders

    entity, project, *typed = given.positional
    typed += [given.settings["results_dir"]] if "results_dir" in given.settings else []
    folders = record_folders(typed)
    curves = {name for folder in folders for name in curve_names(folder.parent / "store")}
    records = load(folders)
    spec = spec_of(records, curves)
    workspace = build(entity, project, "fsig-bench", spec, run_colours(records))
    workspace.save()
    print(workspace.url)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
