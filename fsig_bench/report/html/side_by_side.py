"""Which runs may be laid side by side: those on the same suite, dataset and shots. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from fsig_bench.api.plain import JsonDict, Record
from fsig_bench.metrics.cards import MetricCard
from fsig_bench.report.html.links import run_page
from fsig_bench.report.html.pictures import Sheet
from fsig_bench.report.html.rows import Row


def group_runs(
    rows: Sequence[Row],
    sheets: Mapping[str, Sheet],
    cards: Mapping[str, MetricCard],
    shots_of: Callable[[Record], Sheet | str],
) -> list[JsonDict]:
    """For the page's script: groups of runs with samples, each sample set named once.

    Runs that were scored twice from the same samples are listed once.

    Args:
        rows: of the report.
        sheets: by run id.
        cards: of all metrics.
        shots_of: the shots of a run's target, or why they cannot be shown.
    """
    shots: dict[tuple[str, str, int, int], Sheet | str] = {}
    found: dict[tuple[str, str, int, int], dict[tuple[str, int], JsonDict]] = defaultdict(dict)
    for row in rows:
        for r in row.records:
            page = run_page(r)
            if r["run_id"] not in sheets:
                continue
            label = f"{row.method}, seed {r['seed']}"
            entry = {
                "label": label,
                "seed": r["seed"],
                "kind": row.kind,
                "page": page,
                "sheet": sheets[r["run_id"]].as_json(),
                "setting": f"{row.protocol}, {row.num_images} samples",
                "numbers": numbers_of(r, cards),
            }
            key = (row.suite, row.dataset, row.k, r["subset"])
            found[key].setdefault((sheets[r["run_id"]].path, r["seed"]), entry)
            if key not in shots:
                shots[key] = shots_of(r)
    out = []
    for key in sorted(found, key=str):
        suite, dataset, k, subset = key
        runs = sorted(found[key].values(), key=lambda e: (e["kind"] != "method", e["label"]))
        label = f"{dataset}, {k} shots (suite {suite})"
        out.append(
            {
                "label": label + (f", subset {subset}" if subset else ""),
                "runs": _with_distinct_labels(runs),
                "shots": own.as_json() if isinstance(own := shots[key], Sheet) else own,
            }
        )
    return [g for g in out if len(g["runs"]) > 1]


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
