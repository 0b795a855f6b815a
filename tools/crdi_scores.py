"""Do CRDI's scores depend on how its embeddings are found?

    python -m tools.crdi_scores                the two tables of docs/methods/crdi.md, into the page
    python -m tools.crdi_scores RESULTS        the same tables of other runs, printed

The runs are those of the commands in conf/experiment/crdi_solvers.yaml; results/crdi_solvers holds
their records. The first table has, for each target, the mean and the standard deviation over seeds
of every solver. The second has, for each metric, the difference from the closed form at the same
target and seed: its mean over targets, and the 95 % interval of Student's t with targets as units.
A star marks what holds after Holm's correction over the table.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import fsig_bench
from fsig_bench.report.inference.intervals import Estimate, estimate, holm
from tools.results_tables import between_marks

ROOT = Path(__file__).resolve().parent.parent
RECORDS, PAGE = ROOT / "results" / "crdi_solvers", ROOT / "docs" / "methods" / "crdi.md"

METRICS = {  # name in the records: (heading, decimals)
    "fd": ("Frechet distance", 1),
    "intra_lpips": ("Intra-LPIPS", 3),
    "factor_coverage": ("factor coverage", 3),
    "source_leakage": ("source leakage", 3),
    "copy_rate": ("copy rate", 3),
}
CLOSED, NOISY, OFFICIAL = "closed form", "closed form with noise", "official"


def solvers(table: pd.DataFrame) -> pd.DataFrame:
    """The records' table with a column `solver`."""
    names = table["method"].map({"crdi": CLOSED, "crdi_official": OFFICIAL})
    noisy = table["method.residual"].astype(str).str.startswith("[")
    return table.assign(solver=names.mask(noisy, NOISY))


def rows(table: pd.DataFrame) -> list[str]:
    """One line for each target and solver."""
    heads = ["target", "solver", "runs", *(h for h, _ in METRICS.values()), "evaluations to adapt"]
    out = [f"| {' | '.join(heads)} |", "|---|---|" + "--:|" * (len(heads) - 2)]
    for dataset in sorted(set(table["dataset"])):
        for solver in (CLOSED, NOISY, OFFICIAL):
            own = table[(table["dataset"] == dataset) & (table["solver"] == solver)]
            if own.empty:
                continue
            cells = [dataset, solver, str(len(own))]
            for name, (_, digits) in METRICS.items():
                spread = f" ± {own[name].std():.{digits}f}" if len(own) > 1 else ""
                cells.append(f"{own[name].mean():.{digits}f}{spread}")
            cells.append(f"{own['nfe_adapt'].mean():,.0f}")
            out.append(f"| {' | '.join(cells)} |")
    return out


def differences(table: pd.DataFrame) -> list[str]:
    """One line for each metric: what the other solvers differ by from the closed form."""
    others = [s for s in (NOISY, OFFICIAL) if (table["solver"] == s).any()]
    found: dict[tuple[str, str], Estimate] = {}
    for name in METRICS:
        wide = table.pivot(index=["dataset", "seed"], columns="solver", values=name)
        for solver in others:
            gaps = (wide[solver] - wide[CLOSED]).dropna().groupby("dataset").mean()
            found[name, solver] = estimate(gaps.tolist())
    p_values = holm({key: e.p for key, e in found.items() if e.p is not None})
    out = [f"| minus {CLOSED} | {' | '.join(others)} |", "|---|" + "--:|" * len(others)]
    for name, (heading, digits) in METRICS.items():
        cells = [heading]
        for solver in others:
            e = found[name, solver]
            star = "*" if p_values.get((name, solver), 1.0) <= 0.05 else ""
            spread = "" if e.high is None else f" ± {e.high - e.mean:.{digits}f}{star}"
            cells.append(f"{e.mean:+.{digits}f}{spread}")
        out.append(f"| {' | '.join(cells)} |")
    return out


def tables(folder: Path) -> str:
    """Both tables in Markdown."""
    table = solvers(fsig_bench.load_records(folder))
    return "\n".join([*rows(table), "", *differences(table)])


def page() -> str:
    """The page of the method with the tables of the committed records."""
    return between_marks(PAGE.read_text(), tables(RECORDS))


def main(words: list[str]) -> None:
    """Writes the page, or prints the tables of another folder."""
    if words:
        print(tables(Path(words[0])))
    else:
        PAGE.write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])
