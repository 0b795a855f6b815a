"""`python -m fsig_bench.gallery DATASET FILE.png [RESULTS]`: one row of samples per method.

Rows are the first images of every finished run on the dataset with the lowest seed, never selected;
the shots stand on top. Reads what the runs left below the results folder (default: results).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsig_bench.report import KINDS, load
from fsig_bench.store import Store

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 10


def chosen(records: Sequence[dict[str, Any]], dataset: str) -> list[dict[str, Any]]:
    """One record per method, of the lowest seed, methods before controls.

    Raises:
        ValueError: no record is of this dataset.
    """
    own = [r for r in records if r["dataset"] == dataset]
    if not own:
        there = ", ".join(sorted({r["dataset"] for r in records}))
        raise ValueError(f"no record on {dataset!r}; there are records on {there}")
    first = {r["method"]: r for r in sorted(own, key=lambda r: -r["seed"])}
    kind = {m: KINDS[r["config"]["method"]["card"]["kind"]] for m, r in first.items()}
    return [first[m] for m in sorted(first, key=lambda m: (kind[m], m))]


def first_images(record: dict[str, Any], store: Store) -> Tensor:
    """The first COLUMNS samples of a run, uint8."""
    size = record["config"]["suite"]["shard_size"]
    return store.load_shard(record["stages"]["sample"], 0, size)[0][:COLUMNS]


def main(words: Sequence[str]) -> None:
    """Writes the picture.

    Raises:
        ValueError: wrong number of words, or no such runs.
    """
    if len(words) not in (2, 3):
        raise ValueError("give a dataset and a file: python -m fsig_bench.gallery babies grid.png")
    from hydra.utils import instantiate

    from fsig_bench.figures.grid import labelled_rows

    root = Path(words[2] if len(words) == 3 else "results")
    store, found = Store(root), chosen(load([root / "runs"]), words[0])
    spec = {k: v for k, v in found[0]["config"]["dataset"].items() if k != "fresh"}
    shots = instantiate(spec, _convert_="all").shots(found[0]["k"], found[0]["subset"])
    rows = [("shots", shots[:COLUMNS])]
    rows += [(r["config"]["method"]["card"]["label"], first_images(r, store)) for r in found]
    labelled_rows(Path(words[1]), rows, title="")
    print(words[1])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
