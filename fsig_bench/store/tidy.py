"""`runs verify` and `runs prune`: what they print and remove."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from fsig_bench.console import printable
from fsig_bench.store.inputs import damaged_inputs, leftovers, remove
from fsig_bench.store.maintenance import damaged_files, unreferenced_files
from fsig_bench.store.store import Store
from fsig_bench.words import switch

KEYS = {"verify": ("remove", "data_dir"), "prune": ("yes", "shared", "data_dir")}


def verify(store: Store, given: Mapping[str, str]) -> int:
    """Reads every piece of the results and every file that runs read; 1 where one is damaged.

    Args:
        store: the results.
        given: remove=true removes damaged pieces of the results, never a file that runs read;
            data_dir, where prepared sets are.
    """
    go, count, inputs = switch(given, "remove", default=False), 0, 0
    for path, what in damaged_files(store):
        count += 1
        print(printable(f"{what}: {path}"))
        if go:
            remove(path)
    for path, what in damaged_inputs(store, _data_dir(given)):
        inputs += 1
        print(printable(f"{what}: {path}"))
    done = "removed; the same commands make them anew" if go else "remove=true removes them"
    print(f"{count} damaged pieces ({done})" if count else "all pieces are whole")
    if inputs:
        print(f"{inputs} damaged files among those that runs read; get them again")
    return int((count > 0 and not go) or inputs > 0)


def prune(store: Store, given: Mapping[str, str]) -> int:
    """Lists what no record needs, and removes it with yes=true.

    Args:
        store: the results.
        given: yes=true, shared=true, and data_dir, where prepared sets are.
    """
    go, count = switch(given, "yes", default=False), 0
    unneeded = unreferenced_files(store, shared=switch(given, "shared", default=False))
    for path, what in chain(unneeded, leftovers(_data_dir(given))):
        count += 1
        print(printable(f"{what}: {path}"))
        if go:
            remove(path)
    done = "removed" if go else "a dry run: yes=true removes them"
    print(f"{count} pieces that no record needs ({done})")
    return 0


def _data_dir(given: Mapping[str, str]) -> Path | None:
    return Path(given["data_dir"]).expanduser() if "data_dir" in given else None
