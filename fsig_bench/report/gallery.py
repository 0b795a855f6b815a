"""`fsig-bench gallery DATASET FILE.png [RESULTS]`: one row of samples per method.

Rows are the first images of every finished run on the dataset with the lowest seed, never selected;
the shots stand on top. Reads what the runs left below the results folder (default: results).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fsig_bench.report.records import load
from fsig_bench.report.samples import COLUMNS, chosen, first_images
from fsig_bench.store.store import Store


def main(words: Sequence[str]) -> None:
    """Writes the picture.

    Raises:
        ValueError: wrong number of words, or no such runs.
    """
    if len(words) not in (2, 3):
        raise ValueError("give a dataset and a file: fsig-bench gallery babies grid.png")
    from hydra.utils import instantiate

    from fsig_bench.pictures.grid import labelled_rows

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
