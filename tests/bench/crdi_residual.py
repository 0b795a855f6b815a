"""How far does CRDI's official solver end from the optimum of its own objective?

    python tests/bench/crdi_residual.py [RESULTS=results] [DATASET=babies] [SEED=0]

Reads the embeddings that `method=crdi_official` and `method=crdi` have left in a results folder for
the dataset and seed (experiment=crdi_solvers makes them). Prints, by segment from the least noisy
on, the standard deviation of their difference, its mean, and the cosine between the two. The last
line is the deviation over all segments, which `method.residual` gives the closed form on purpose.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helpers import make_cell

from fsig_bench.store.store import Store


def embeddings(method: str, store: Store, *words: str) -> torch.Tensor:
    """The state's embeddings, float32 [shots, segments, 3, h, w]."""
    cell = make_cell(f"method={method}", *words, "device=cpu")
    found = store.load_state(cell.adapt_key)
    if found is None:
        run = " ".join([f"fsig-bench method={method}", *words])
        raise SystemExit(f"{store.root} holds no state of {method}; run first: {run}")
    return found[0].tensors["sge"]


def main(words: list[str]) -> None:
    """Prints the table."""
    results, dataset, seed = [*words, *("results", "babies", "0")[len(words) :]]
    settings = (f"dataset={dataset}", f"seed={seed}")
    official, optimum = (
        embeddings(name, Store(results), *settings) for name in ("crdi_official", "crdi")
    )
    gap = official - optimum
    print(f"{dataset}, seed {seed}\nsegment      sd    mean  cosine  sd of the optimum")
    for j in range(gap.shape[1]):
        a, b = (x[:, j].flatten(1) for x in (official, optimum))
        cosine = float(F.cosine_similarity(a, b).mean())
        part = gap[:, j]
        print(f"{j:7d} {part.std():7.3f} {part.mean():7.3f} {cosine:7.2f} {b.std():10.3f}")
    print(f"all     {gap.std():7.3f} {gap.mean():7.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
