"""`fsig-bench report only=figures [RESULTS [OUT]]`: the figures of a paper from its records.

Vector graphics (PDF and SVG) for plots, PNG for images; the same records give the same bytes.
Unlike settings never share a figure: of several, the one that most records have is drawn, and file
names carry its suite, protocol and k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.plain import Record
from fsig_bench.metrics.cards import added_metrics
from fsig_bench.report.figures.adapting_time import adapting_time, over_lengths
from fsig_bench.report.figures.clusters import cluster_figure, cluster_values
from fsig_bench.report.figures.factors import coverage_by_factor, factor_bars
from fsig_bench.report.figures.pareto import quality_against, quality_cost
from fsig_bench.report.figures.shots import shots_curves
from fsig_bench.report.figures.style import drawing_order, label_of
from fsig_bench.report.figures.summaries import (
    Value,
    cards,
    metric,
    most_frequent,
    over_shots,
    pairs,
    wall_s,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.store.store import Store

Records = Sequence[Record]


def slug(record: Record, k: str) -> str:
    """The setting in file names."""
    return f"{record['suite']}-{record['protocol']}-k{k}"


def stored_cells(
    records: Records, store: Store
) -> tuple[dict[tuple[str, str], Tensor], list[str], list[str]]:
    """Images by (row, column), the rows in order, and what is not stored; rows start with shots."""
    from fsig_bench.report.local_targets import build_images
    from fsig_bench.report.samples import chosen, first_images

    own = [dict(r) for r in records]
    known = cards(records)
    cells: dict[tuple[str, str], Tensor] = {}
    missing = []
    for dataset in sorted({r["dataset"] for r in own}):
        runs = chosen(own, dataset)
        for r in runs:
            try:
                cells[label_of(known[r["method"]]), dataset] = first_images(r, store)
            except (OSError, ValueError):
                missing.append(f"{r['method']} on {dataset}")
        if not any(column == dataset for _, column in cells):
            continue
        spec = {k: v for k, v in runs[0]["config"]["dataset"].items() if k != "fresh"}
        try:
            data = build_images(spec)
            cells["shots", dataset] = data.shots(runs[0]["k"], runs[0]["subset"])
        except (OSError, ValueError):
            missing.append(f"the shots of {dataset}")
    there = {row for row, _ in cells}
    rows = [label_of(known[m]) for m in drawing_order(known)]
    return cells, ["shots", *(r for r in rows if r in there)], missing


def plots(records: Records, out: Path) -> tuple[list[Path], list[str]]:
    """Writes every plot that the records allow; returns the files, and what is left out and why."""
    group = most_frequent(records)
    name = slug(group[0], str(group[0]["k"]))
    made: list[Path] = []
    left: list[str] = []
    if len(group) < len(records):
        left.append(f"{len(records) - len(group)} records of other settings than {name}")
    against = {"diversity": "intra_lpips", **{n: n for n in added_metrics(group)}}
    figures: list[tuple[str, Value, Callable[[Records, Path], list[Path]]]] = [
        (title, metric(x), partial(quality_against, x)) for title, x in against.items()
    ]
    for title, x, draw in (*figures, ("cost", wall_s, quality_cost)):
        if pairs(group, x, metric("fd")):
            made += draw(group, out / f"quality_{title}-{name}")
        else:
            left.append(f"quality_{title}: no record has both values")
    if curves := over_shots(records):
        ks = "_".join(str(k) for k in sorted({r["k"] for r in curves}))
        made += shots_curves(curves, out / f"shots-{slug(curves[0], ks)}")
    else:
        left.append("shots: no two records differ in k alone")
    if longer := over_lengths(records):
        stem = out / f"adapting_time-{slug(longer[0], str(longer[0]['k']))}"
        made += adapting_time(longer, stem)
    else:
        left.append(
            "adapting_time: no two records differ in their method's length of adapting alone"
        )
    for dataset in sorted({r["dataset"] for r in group}):
        own = [r for r in group if r["dataset"] == dataset]
        if cluster_values(own):
            made += cluster_figure(own, out / f"clusters-{dataset}-{name}")
        else:
            left.append(f"clusters-{dataset}: no record holds cluster sizes")
        if coverage_by_factor(own):
            made += factor_bars(own, out / f"factors-{dataset}-{name}")
        else:
            left.append(f"factors-{dataset}: no record holds coverage by factor")
    return made, left


def matrix(records: Records, results: Path, out: Path) -> tuple[list[Path], list[str]]:
    """The sample matrix of the most frequent setting, from a results folder's store."""
    from fsig_bench.report.figures.matrix import sample_matrix
    from fsig_bench.store.store import Store

    group = most_frequent(records)
    cells, rows, missing = stored_cells(group, Store(results))
    if not cells:
        return [], [f"samples: no run of these records has samples stored below {results}"]
    left = [f"samples: not stored below {results}: {', '.join(missing)}"] if missing else []
    path = out / f"samples-{slug(group[0], str(group[0]['k']))}.png"
    sample_matrix(path, cells, rows, sorted({column for _, column in cells}))
    return [path], left


def write_figures(records: Records, *, results: Path | None, out: Path) -> list[Path]:
    """Writes the figures and returns the files; prints a line for each that is left out, and why.

    Args:
        records: as `fsig_bench.report.records.load` reads them.
        results: the results folder whose store holds the runs' samples; None: no sample matrix.
        out: the folder to write to.

    Raises:
        ValueError: there is no record.
        OSError: `out` cannot be written.
    """
    from fsig_bench.console import console

    if not records:
        raise ValueError("no record to draw; run a method first")
    # In any order that the files were found in, the same bytes.
    records = sorted(records, key=lambda r: (r["method"], r["dataset"], r["seed"], r["run_id"]))
    made, left = plots(records, out)
    if results is None:
        left.append("samples: no results folder is given")
    else:
        more, reasons = matrix(records, results, out)
        made, left = made + more, left + reasons
    for line in left:
        console.print(f"left out: {line}")
    return made
