"""`fsig-bench audit flips`: the same samples under all protocols' rules; which orders change?

    fsig-bench audit flips results_dir=results
    fsig-bench audit flips results_dir=results protocols=[ours,cdc2021,rsimle2024] dataset=babies

Scores the samples that runs of suite=mini left in the store again, under the rules of each protocol
and by the suite's networks; what was scored once is kept. A pair of methods flips where the means
of their runs on a target have another order under another protocol. Writes flips.csv, every value,
and flips.md.

  protocols=all         those to compare, the first one with each other one
  dataset=  method=     a part of the runs, several by commas       k=10   runs with so many shots
  num_images=500        samples that are scored, at most            out=results/audit
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from fsig_bench.api.files import write_bytes
from fsig_bench.api.images import pixels_sha256
from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Record
from fsig_bench.api.stopping import stop_if_asked
from fsig_bench.console import Bar, console, printable
from fsig_bench.report.audit import flips, rules
from fsig_bench.report.audit.sets import kept
from fsig_bench.report.inference.units import chance_of
from fsig_bench.report.records import load
from fsig_bench.report.samples import verified_samples
from fsig_bench.report.variants import main_variant
from fsig_bench.store.store import Store
from fsig_bench.words import parse_words, results_root

KEYS = ("protocols", "dataset", "method", "k", "num_images", "device", "batch_size", "out")
DEFAULT = {"protocols": "all", "k": "10", "num_images": "500", "out": "results/audit"}
DEFAULT |= {"results_dir": "results"}


def main(words: Sequence[str]) -> int:
    """Scores, prints the flips and writes them; returns 0.

    Raises:
        ValueError: no run has samples here, fewer than two protocols, or a wrong setting.
    """
    given = parse_words(words, word="audit flips", keys=(*KEYS, "results_dir"), positional=())
    own = DEFAULT | dict(given.settings)
    for key in ("k", "num_images"):
        if not own[key].isdecimal() or int(own[key]) < 1:
            raise ValueError(f"{key}={own[key]}: give a whole number from 1")
    root = results_root(own["results_dir"])
    protocols = chosen_protocols(own["protocols"])
    store = Store(root)
    runs = usable_runs(load([root / "runs"]), store, own)
    found, left_out = list[flips.Value](), list[str]()
    with Bar("score again", len(runs), "runs") as bar:
        for n, record in enumerate(runs):
            stop_if_asked()
            try:
                found += values_of(record, store, protocols, own)
            except (ValueError, OSError) as error:
                left_out.append(f"{record['method']} on {record['dataset']}: {error}")
            bar.update(n + 1)
    for line in left_out:
        console.print(f"left out: {printable(line)}")
    values = flips.from_csv(flips.to_csv(found))
    text = flips.markdown(values)
    console.print(text)
    out = Path(own["out"]).expanduser()
    write_bytes(out / "flips.csv", flips.to_csv(values).encode())
    write_bytes(out / "flips.md", text.encode())
    console.print(str(out / "flips.csv"))
    return 0


def chosen_protocols(text: str) -> list[str]:
    """Their names; `all` is every file of conf/protocol, `ours` first.

    Raises:
        ValueError: fewer than two.
    """
    names = [p.stem for p in sorted((CONF / "protocol").glob("*.yaml"))]
    if text != "all":
        names = rules.protocol_names(text)
    if len(names) < 2:
        raise ValueError(f"protocols={text}: a flip needs two protocols, such as [ours,cdc2021]")
    return sorted(names, key=lambda name: name != "ours") if text == "all" else names


def usable_runs(records: Sequence[Record], store: Store, own: Mapping[str, str]) -> list[Record]:
    """The runs of suite=mini with their samples here, each method under its main settings.

    Raises:
        ValueError: there is none.
    """
    asked = {key: own[key].split(",") for key in ("dataset", "method") if key in own}
    some = [
        r
        for r in records
        if r["suite"] == "mini"
        and r["k"] == int(own["k"])
        and all(r[key] in wanted for key, wanted in asked.items())
    ]
    found = [r for r in main_variant(some) if store.stage_folder(r, "sample")]
    if not found:
        raise ValueError(
            f"{len(some)} runs of suite=mini have k={own['k']} and what was asked for, and none "
            f"of them has its samples in {store.root}; run them with results_dir={store.root}"
        )
    return sorted(found, key=lambda r: (r["dataset"], r["method"], r["run_id"]))


def values_of(
    record: Record, store: Store, protocols: Sequence[str], own: Mapping[str, str]
) -> list[flips.Value]:
    """Every metric of every protocol on the samples of a run."""
    images = verified_samples(record, store)
    count = min(len(images), int(own["num_images"]))
    chance = chance_of(record)
    words = ["method=real", "suite=mini", f"dataset={record['dataset']}", f"k={record['k']}"]
    words += [f"subset={chance.subset}", f"seed={chance.seed}", f"num_images={count}"]
    words += [f"dataset.n_ref={record['config']['dataset']['n_ref']}"]
    words += [f"{key}={own[key]}" for key in ("device", "batch_size") if key in own]
    found = []
    for protocol in protocols:
        cell = rules.cell_under(protocol, words)
        samples = images[: cell.samples.num_scored]
        what = ["samples", pixels_sha256(samples)]
        for metric, value in kept(cell, store, what, partial(torch.clone, samples)).items():
            found.append(
                flips.Value(
                    protocol=protocol,
                    metric=metric,
                    dataset=record["dataset"],
                    method=record["method"],
                    subset=chance.subset,
                    seed=chance.seed,
                    draw=chance.draw,
                    samples=len(samples),
                    value=value,
                )
            )
    return found
