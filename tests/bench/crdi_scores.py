"""Do CRDI's scores depend on how its embeddings are found?

    python tests/bench/crdi_scores.py RESULTS

RESULTS holds the runs of the commands in conf/experiment/crdi_solvers.yaml. Prints two Markdown
tables. The first has, for each target, the closed form, the closed form with noise of the size that
Adam leaves and with more of it, and the official solver: mean and standard deviation over seeds.
The second has, for each metric, the difference from the closed form at the same target and seed:
its mean over targets, and the 95 % interval of Student's t with the targets as units.
"""

from __future__ import annotations

import sys

import pandas as pd
from scipy import stats

import fsig_bench

METRICS = {  # name in the records: (heading, decimals)
    "fd": ("Frechet distance", 1),
    "intra_lpips": ("Intra-LPIPS", 3),
    "factor_coverage": ("factor coverage", 3),
    "source_leakage": ("source leakage", 3),
    "copy_rate": ("copy rate", 3),
}
CLOSED, NOISY, NOISIER = "closed form", "closed form, Adam's residual", "closed form, 0.27"
OFFICIAL = "official"


def solvers(table: pd.DataFrame) -> pd.DataFrame:
    """The records' table with a column `solver`."""
    names = table["method"].map({"crdi": CLOSED, "crdi_official": OFFICIAL})
    residual = table["method.residual"].astype(str)
    names = names.mask(residual.str.startswith("["), NOISY).mask(residual == "0.27", NOISIER)
    return table.assign(solver=names)


def rows(table: pd.DataFrame) -> list[str]:
    """One line for each target and solver."""
    heads = ["target", "solver", "runs", *(h for h, _ in METRICS.values()), "evaluations to adapt"]
    out = [f"| {' | '.join(heads)} |", "|---|---|" + "--:|" * (len(heads) - 2)]
    for dataset in sorted(set(table["dataset"])):
        for solver in (CLOSED, NOISY, NOISIER, OFFICIAL):
            own = table[(table["dataset"] == dataset) & (table["solver"] == solver)]
            if own.empty:
                continue
            cells = [dataset, solver, str(len(own))]
            for name, (_, digits) in METRICS.items():
                cells.append(f"{own[name].mean():.{digits}f} ± {own[name].std():.{digits}f}")
            cells.append(f"{own['nfe_adapt'].mean():,.0f}")
            out.append(f"| {' | '.join(cells)} |")
    return out


def differences(table: pd.DataFrame) -> list[str]:
    """One line for each metric: what the other two differ by from the closed form."""
    others = [s for s in (NOISY, NOISIER, OFFICIAL) if (table["solver"] == s).any()]
    out = [f"| minus {CLOSED} | {' | '.join(others)} |", "|---|" + "--:|" * len(others)]
    for name, (heading, digits) in METRICS.items():
        wide = table.pivot(index=["dataset", "seed"], columns="solver", values=name)
        cells = [heading]
        for solver in others:
            gaps = (wide[solver] - wide[CLOSED]).dropna().groupby("dataset").mean()
            half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.sem()
            cells.append(f"{gaps.mean():+.{digits}f} ± {half:.{digits}f}")
        out.append(f"| {' | '.join(cells)} |")
    return out


def main(words: list[str]) -> None:
    """Prints both tables."""
    table = solvers(fsig_bench.load_records(words[0] if words else "results"))
    print("\n".join([*rows(table), "", *differences(table)]))


if __name__ == "__main__":
    main(sys.argv[1:])
