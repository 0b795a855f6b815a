"""Which runs may be laid side by side: those on the same suite, dataset and shots. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.metrics.cards import MetricCard
from fsig_bench.report.html.links import run_label, run_page
from fsig_bench.report.html.pictures import Sheet
from fsig_bench.report.html.rows import Row
from fsig_bench.report.inference.units import chance_of


def group_runs(
    rows: Sequence[Row],
    sheets: Mapping[str, Sheet],
    strips: Mapping[str, Sheet],
    cards: Mapping[str, MetricCard],
    shots_of: Callable[[Record], Sheet | str],
) -> list[JsonDict]:
    """For the page's script: groups of runs with samples, each sample set named once.

    Runs that were scored twice from the same samples are listed once. A run without a sheet is
    shown by its strip.

    Args:
        rows: of the report.
        sheets: of the stored samples, by run id.
        strips: of the first samples, by run id.
        cards: of all metrics.
        shots_of: the shots of a run's target, or why they cannot be shown.
    """
    shots: dict[tuple[str, str, int, int], Sheet | str] = {}
    found: dict[tuple[str, str, int, int], dict[tuple[object, ...], JsonDict]] = defaultdict(dict)
    for row in rows:
        for r in row.records:
            sheet = sheets.get(r["run_id"]) or strips.get(r["run_id"])
            if sheet is None:
                continue
            chance = chance_of(r)
            entry = {
                "label": f"{row.method}, {run_label(r)}",
                "method": row.method,
                "seed": chance.seed,
                "draw": chance.draw,
                "kind": row.kind,
                "page": run_page(r),
                "sheet": sheet.as_json(),
                "few": r["run_id"] not in sheets and sheet.count < row.num_images,
                "setting": f"{row.protocol}, {row.num_images} samples",
                "numbers": numbers_of(r, cards),
            }
            key = (row.suite, row.dataset, row.k, chance.subset)
            found[key].setdefault((row.method, sheet.path, *chance), entry)
            if key not in shots:
                shots[key] = shots_of(r)
    out = []
    for key in sorted(found, key=str):
        suite, dataset, k, subset = key
        runs = sorted(found[key].values(), key=_run_order)
        label = f"{dataset}, {k} shots (suite {suite})"
        out.append(
            {
                "label": label + (f", subset {subset}" if subset else ""),
                "runs": _with_distinct_labels(runs),
                "shots": own.as_json() if isinstance(own := shots[key], Sheet) else own,
            }
        )
    return [g for g in out if len(g["runs"]) > 1]


def _run_order(entry: JsonDict) -> tuple[object, ...]:
    """Methods before controls; the runs of one method by seed and draw."""
    return entry["kind"] != "method", entry["method"], entry["seed"], entry["draw"], entry["page"]


def numbers_of(record: Record, cards: Mapping[str, MetricCard]) -> list[tuple[str, str]]:
    """A run's metrics by their titles, and its numbers."""
    found = {m: record["metrics"].get(m, {}).get("value") for m in cards}
    return [(cards[m].title, cards[m].text(v)) for m, v in found.items() if v is not None]


def _with_distinct_labels(runs: Sequence[JsonDict]) -> list[JsonDict]:
    """The runs, with the page's name in labels that occur twice."""
    labels = [e["label"] for e in runs]
    return [
        e | {"label": f"{e['label']} ({e['page'].removeprefix('runs/').removesuffix('.html')})"}
        if labels.count(e["label"]) > 1
        else e
        for e in runs
    ]
