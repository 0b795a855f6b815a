"""`fsig-bench gallery DATASET FILE.png`: one row of samples for each method.

    fsig-bench gallery babies grid.png [results_dir=DIR]

Rows are the first images of every finished run on the dataset with the lowest seed, never selected;
the shots stand on top. Reads what the runs left below the results folder (default: results).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fsig_bench.console import run_word
from fsig_bench.report.local_targets import build_images
from fsig_bench.report.records import load
from fsig_bench.report.samples import COLUMNS, chosen, first_images
from fsig_bench.store.store import Store
from fsig_bench.words import parse_words, results_root


def main(words: Sequence[str]) -> int:
    """Writes the picture.

    Raises:
        ValueError: wrong number of words, or no such runs.
    """
    given = parse_words(words, word="gallery", keys=("results_dir",))
    if len(given.positional) not in (2, 3):
        raise ValueError("give a dataset and a file: fsig-bench gallery babies grid.png")
    from fsig_bench.pictures.grid import labelled_rows

    dataset, file, *folder = given.positional
    root = results_root(given.settings.get("results_dir") or (folder or ["results"])[0])
    store, found = Store(root), chosen(load([root / "runs"]), dataset)
    spec = {k: v for k, v in found[0]["config"]["dataset"].items() if k != "fresh"}
    shots = build_images(spec).shots(found[0]["k"], found[0]["subset"])
    rows = [("shots", shots[:COLUMNS])]
    rows += [(r["config"]["method"]["card"]["label"], first_images(r, store)) for r in found]
    labelled_rows(Path(file).expanduser(), rows, title="")
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(run_word("gallery", main))
