"""From records, printed numbers and a specification to a table: pure, and the same every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fsig_bench.api.plain import Record
from fsig_bench.report.published import Names, Published, load_names, load_published
from fsig_bench.report.tables.cells import beside_printed, explained_cell, printed_cell
from fsig_bench.report.tables.choose import (
    ByPlace,
    commonest_by_place,
    most_frequent_group,
    with_committed_protocol,
)
from fsig_bench.report.tables.gaps import with_commands
from fsig_bench.report.tables.legend import legend, spreads
from fsig_bench.report.tables.marks import with_marks
from fsig_bench.report.tables.model import Column, Kind, Panel, Row, Table, TableCell
from fsig_bench.report.tables.own_records import own_panels
from fsig_bench.report.tables.spec import ColumnSpec, PanelSpec, TableSpec
from fsig_bench.report.tables.verdicts import verdicts_of

Chosen = dict[tuple[str, int], list[Record]]  # protocol, shots -> records that may share a column
ChosenByPlace = Mapping[tuple[str, int], ByPlace]


def choose(records: Sequence[Record], spec: TableSpec) -> tuple[Chosen, list[str]]:
    """The records of every protocol that the table shows, each of one setting."""
    columns = [c for panel in spec.panels for c in panel.columns]
    wanted = {(p, c.shots) for c in columns for p in (c.rerun, c.ours) if p}
    chosen, sentences = {}, []
    for protocol, shots in sorted(wanted):
        group = [
            r
            for r in records
            if (r["suite"], r["protocol"], r["k"]) == (spec.suite, protocol, shots)
        ]
        faithful, changed = with_committed_protocol(
            group, spec.suite, protocol, config_dir=spec.config_dir
        )
        chosen[protocol, shots], unlike = most_frequent_group(faithful)
        sentences += changed + unlike
    return chosen, sentences


def fits_column(column: ColumnSpec, row: Published) -> bool:
    """Whether a printed row belongs into a column."""
    place = row.paper, row.table, row.target_domain, row.metric, row.shots
    return place == (column.paper, column.table, column.domain, column.metric, column.shots)


def columns_of(column: ColumnSpec, spec: TableSpec, names: Names, family: str) -> list[Column]:
    """The printed column, and those of ours where the harness has domain and metric."""
    metric = spec.metrics[column.metric]
    dataset = names.domains.get(column.domain, "")
    harness_metric = names.metrics[column.metric] or ""
    kinds: list[tuple[Kind, str]] = [("paper", "")]
    if dataset and harness_metric:
        kinds += [("rerun", column.rerun)] if column.rerun else []
        kinds += [("ours", column.ours)] if column.ours else []
    heading = column.label or f"{column.domain} {metric.label}"
    return [
        Column(
            kind=kind,
            domain=column.domain,
            dataset=dataset,
            metric=column.metric,
            harness_metric=harness_metric,
            heading=heading,
            arrow=metric.arrow,
            decimals=metric.decimals,
            shots=column.shots,
            protocol=protocol,
            like_real=metric.better == "like_real",
            family=family if kind == "paper" else "",
        )
        for kind, protocol in kinds
    ]


def paper_panel(
    panel: PanelSpec,
    spec: TableSpec,
    published: Sequence[Published],
    names: Names,
    chosen: ChosenByPlace,
) -> tuple[Panel, list[str]]:
    """Printed numbers with ours to their right.

    Raises:
        ValueError: a column or a row has no printed number.
    """
    columns: list[Column] = []
    found: dict[str, list[TableCell]] = {method: [] for method in spec.methods}
    sentences: list[str] = []
    for column in panel.columns:
        rows = [r for r in published if fits_column(column, r)]
        if not rows:
            raise ValueError(
                f"table {spec.name}: nothing printed for {column.domain}, {column.metric}, "
                f"{column.shots} shots in {column.paper}, {column.table}; see results/published"
            )
        families = {r.family for r in rows}
        family = families.pop() if len(families) == 1 else ""
        group = columns_of(column, spec, names, family)
        columns += group
        for method in spec.methods:
            printed = printed_cell([r for r in rows if r.method == method], names)
            found[method].append(printed)
            for of_ours in group[1:]:
                cell, left_out = our_cell(of_ours, names.methods.get(method, ""), chosen)
                if cell.gap == "run" and printed.gap:  # nothing to set it beside
                    cell = TableCell(gap="unprinted", why="the paper prints no number there")
                if of_ours.kind == "rerun":
                    cell = beside_printed(cell, of_ours, printed, names)
                found[method].append(cell)
                sentences += left_out
    built = [
        Row(
            label=method,
            harness_method=names.methods.get(method, ""),
            cells=tuple(cells),
            family=main_family(columns, cells),
        )
        for method, cells in found.items()
        if any(c.value is not None for c in cells)  # a row that another panel fills
    ]
    return Panel(title=panel.title, columns=tuple(columns), rows=tuple(built)), sentences


def our_cell(column: Column, method: str, chosen: ChosenByPlace) -> tuple[TableCell, list[str]]:
    """A number of ours; without a run a gap that is still to be given its command."""
    if not method:
        return TableCell(gap="absent", why="the harness has no such method"), []
    there = chosen[column.protocol, column.shots]
    records, sentences = there.get((method, column.dataset), ([], []))
    return explained_cell(records, column) if records else TableCell(gap="run"), sentences


def main_family(columns: Sequence[Column], cells: Sequence[TableCell]) -> str:
    """The commonest family of a row's printed numbers, known ones first."""
    pairs = zip(columns, cells, strict=True)
    count = Counter(c.like for col, c in pairs if col.kind == "paper" and c.value is not None)
    known = {f: n for f, n in count.items() if f != "unknown"}
    return min(known or count, key=lambda f: (-count[f], f), default="")


def build_table(
    spec: TableSpec,
    records: Sequence[Record],
    published: Sequence[Published] | None = None,
    names: Names | None = None,
) -> Table:
    """The table that a specification asks for.

    Args:
        spec: what to show.
        records: any records; those of other suites, protocols or shot counts are passed over.
        published: printed numbers; None takes those of results/published.
        names: printed names to ours; None takes results/published/names.yaml.

    Raises:
        ValueError: the specification asks for what is not printed, or for no metric of records.
    """
    names = names or load_names()
    published = load_published() if published is None else published
    ordered = sorted(records, key=lambda r: (r["suite"], r["run_id"]))
    chosen, sentences = choose(ordered, spec) if spec.kind == "paper" else ({}, [])
    panels: list[Panel] = []
    if spec.kind == "paper":
        by_place = {key: commonest_by_place(group) for key, group in chosen.items()}
        for panel in spec.panels:
            built, left_out = paper_panel(panel, spec, published, names, by_place)
            panels.append(built)
            sentences += left_out
        lost = [m for m in spec.methods if all(m not in [r.label for r in p.rows] for p in panels)]
        if lost:
            raise ValueError(f"table {spec.name}: nothing printed for the rows {', '.join(lost)}")
    else:
        group = [
            r
            for r in ordered
            if (r["suite"], r["k"]) == (spec.suite, spec.shots) and r["protocol"] == spec.ours
        ]
        chosen_records, sentences = most_frequent_group(group)
        chosen = {("", spec.shots): chosen_records}
        panels, left_out = own_panels(spec, chosen_records)
        sentences += left_out
    panels = with_commands(with_marks(panels), spec)
    return Table(
        name=spec.name,
        title=spec.title,
        caption=" ".join([*spec.caption.split(), *spreads(panels)]),
        source=spec.source,
        cite=spec.cite,
        panels=tuple(panels),
        legend=tuple(legend(spec, panels, chosen, names)),
        verdicts=tuple(verdicts_of(spec, panels, names)),
        left_out=tuple(dict.fromkeys(sentences)),
    )
