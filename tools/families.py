"""`python -m tools.families`: the tables of docs/families.md.

One for each target of `experiment=grid_families`, of all methods that have records on both
(results/reference): the main methods, their relatives and the controls.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from fsig_bench.api.plain import Record
from fsig_bench.report.inference.scores import scores_of
from fsig_bench.report.inference.units import units_of
from fsig_bench.report.records import load
from fsig_bench.report.tables.markdown import grid_markdown
from tools.results_tables import SHOTS, between_marks, evaluations, on_every_target

ROOT = Path(__file__).resolve().parents[1]
RECORDS, PAGE = ROOT / "results" / "reference", ROOT / "docs" / "families.md"
PLAN = ROOT / "conf" / "experiment" / "grid_families.yaml"
METRICS = {  # name in the records: (heading, decimals)
    "fd": ("Frechet distance ↓", 1),
    "intra_lpips": ("Intra-LPIPS", 2),
    "factor_coverage": ("factor coverage ↑", 3),
    "source_leakage": ("source leakage ↓", 3),
    "copy_rate": ("copy rate ↓", 3),
    "rendering_residual": ("rendering residual ↓", 2),
}


def planned(key: str) -> list[str]:
    """What `experiment=grid_families` sweeps over: its `method`s or its `dataset`s."""
    return str(OmegaConf.load(PLAN).hydra.sweeper.params[key]).split(",")


def target_table(records: Sequence[Record], target: str) -> str:
    """Every method of `records` on one target, in Markdown, by mean Frechet distance."""
    own = [r for r in records if r["dataset"] == target]
    labels = {r["method"]: r["config"]["method"]["card"]["label"] for r in own}
    scores = {metric: scores_of(own, metric).values for metric in METRICS}
    found = {
        metric: {m: units_of(values[m, target]) for m in labels}
        for metric, values in scores.items()
    }
    head = [
        "method",
        "runs",
        *(h for h, _ in METRICS.values()),
        "evaluations",
        "parameters trained",
    ]
    lines = []
    for method in sorted(labels, key=lambda m: found["fd"][m].mean):
        runs = [r for r in own if r["method"] == method]
        lines.append(
            [
                labels[method],
                str(len(runs)),
                *(found[metric][method].text(digits) for metric, (_, digits) in METRICS.items()),
                f"{statistics.median(map(evaluations, runs)):,.0f}",
                f"{runs[0]['trained_params']:,}",
            ]
        )
    return grid_markdown(head, lines)


def section(records: Sequence[Record]) -> str:
    """What stands between the markers of the page."""
    targets, methods = planned("dataset"), planned("method")
    shown = on_every_target([r for r in records if r["dataset"] in targets and r["k"] == SHOTS])
    parts = [part for t in targets for part in (f"## {t.capitalize()}", target_table(shown, t))]
    missing = [f"`{m}`" for m in methods if m not in {r["method"] for r in shown}]
    if missing:
        parts.append(f"Without committed records on both targets so far: {', '.join(missing)}.")
    return "\n\n".join(parts)


def page() -> str:
    """The page with the tables of the committed records."""
    return between_marks(PAGE.read_text(), section(load([RECORDS])))


if __name__ == "__main__":
    PAGE.write_text(page())
