"""Which runs may be laid side by side: those on the same suite, dataset and shots. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from fsig_bench.api.plain import JsonDict
from fsig_bench.report.html.links import run_page
from fsig_bench.report.html.pictures import Sheet
from fsig_bench.report.html.rows import Row


def group_runs(rows: Sequence[Row], sheets: Mapping[str, Sheet]) -> list[JsonDict]:
    """For the page's script: groups of runs with samples, each sample set named once.

    `sheets` are by run page. Runs that were scored twice from the same samples are listed once.
    """
    found: dict[tuple[str, str, int, int], dict[tuple[str, int], JsonDict]] = defaultdict(dict)
    for row in rows:
        for r in row.records:
            page = run_page(r)
            if page not in sheets:
                continue
            label = f"{row.method}, seed {r['seed']}"
            entry = {
                "label": label,
                "seed": r["seed"],
                "kind": row.kind,
                "page": page,
                "sheet": sheets[page].as_json(),
            }
            key = (row.suite, row.dataset, row.k, r["subset"])
            found[key].setdefault((sheets[page].path, r["seed"]), entry)
    out = []
    for key in sorted(found, key=str):
        suite, dataset, k, subset = key
        runs = sorted(found[key].values(), key=lambda e: (e["kind"] != "method", e["label"]))
        label = f"{dataset}, {k} shots (suite {suite})"
        out.append(
            {
                "label": label + (f", subset {subset}" if subset else ""),
                "runs": _with_distinct_labels(runs),
            }
        )
    return [g for g in out if len(g["runs"]) > 1]


def _with_distinct_labels(runs: Sequence[JsonDict]) -> list[JsonDict]:
    """The runs, with the page's name in labels that occur twice."""
    labels = [e["label"] for e in runs]
    return [
        e | {"label": f"{e['label']} ({e['page'].removeprefix('runs/').removesuffix('.html')})"}
        if labels.count(e["label"]) > 1
        else e
        for e in runs
    ]
