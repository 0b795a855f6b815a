"""`fsig-bench audit`: sets with planted faults, scored: which metric sees which fault, how early?

    fsig-bench audit                                   all faults on the babies, ten shots
    fsig-bench audit blur copies dataset=sketches      some faults, another target of suite=mini
    fsig-bench audit protocol=ours num_images=500 draws=10 out=docs
    fsig-bench audit +metric@protocol.metrics.fd_infinity=fd_infinity
    fsig-bench audit plan=court protocols=[ours,cdc2021,crdi2024] sets=3
    fsig-bench audit flips results_dir=results         protocols on the samples of finished runs

The renderer makes the sets: each has one fault, at five strengths (conf/audit/planted.yaml). The
floor is the same metric on `draws` other sets of fresh real images. A fault is seen where a metric
lies beyond that floor, in its bad direction, by more than chance over the whole table allows.
A published protocol keeps its number of samples (at most num_images), its reference with or without
the shots and its rules for clusters; the suite's networks stand in the place of its own.
Prints metric x fault, and writes audit.csv, audit.md and a picture of each fault.

  dataset=babies   k=10   subset=0     the target and the shots
  num_images=500   draws=10            images in a set; sets of fresh real images (at least 3)
  protocol=ours    protocol.KEY=       which metrics under which rules, and a setting of them
  protocols=[ours,cdc2021]             several protocols on the same images; one table
  sets=1                               sets with each fault at each strength; several give intervals
  plan=planted     --config-dir DIR    the faults: conf/audit/PLAN.yaml, or DIR/audit/PLAN.yaml
  out=results/audit                    where the table and the pictures go
  results_dir=results                  where values are kept: what is there is not scored again
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.files import write_bytes, write_json
from fsig_bench.api.stopping import stop_if_asked
from fsig_bench.console import Bar, console, run_word
from fsig_bench.words import parse_words

if TYPE_CHECKING:
    from fsig_bench.report.audit.sets import Dial
    from fsig_bench.report.audit.table import Place, Scored
    from fsig_bench.runner.cell import Cell
    from fsig_bench.store.store import Store

KEYS = ("dataset", "k", "subset", "seed", "num_images", "device", "batch_size")
RULES = ("protocol", "protocols")
OWN = {"draws": "10", "sets": "1", "plan": "planted", "out": "results/audit"}
OWN |= {"results_dir": "results"}
LEAST = {"draws": 3, "sets": 1}
MORE = ("protocol.", "~protocol.", "suite.", "+metric@", "+network@", "dataset.")


def main(words: Sequence[str]) -> int:
    """Scores the sets, prints the table and writes it; returns 0.

    Raises:
        ValueError: an unknown fault, plan or setting, or a dataset that is not drawn.
    """
    if words[:1] == ["flips"]:
        from fsig_bench.report.audit import rescored

        return rescored.main(words[1:])
    overrides = [word for word in words if word.startswith(MORE)]
    rest = [word for word in words if word not in overrides]
    given = parse_words(rest, word="audit", keys=(*KEYS, *RULES, *OWN))
    own = OWN | {key: value for key, value in given.settings.items() if key in OWN}
    for key, least in LEAST.items():
        if not own[key].isdecimal() or int(own[key]) < least:
            raise ValueError(f"{key}={own[key]}: give a whole number from {least}")
    if all(key in given.settings for key in RULES):
        raise ValueError("protocol= and protocols= name the same thing; give one of them")
    from fsig_bench.help import nearest
    from fsig_bench.report.audit import pictures, rules, sets, setting, table
    from fsig_bench.store.store import Store

    dials = sets.read_plan(own["plan"], given.config_dir)
    names = [dial.name for dial in dials]
    if strange := [name for name in given.positional if name not in names]:
        hint = nearest(strange[0], names) or f" There are {', '.join(names)}."
        raise ValueError(f"audit knows no fault {strange[0]!r}.{hint}")
    dials = [d for d in dials if not given.positional or d.name in given.positional]
    chosen: Mapping[str, str] = {"dataset": "babies"} | dict(given.settings)
    settings = [f"{key}={chosen[key]}" for key in KEYS if key in chosen]
    fixed = ["method=real", "suite=mini", f"results_dir={own['results_dir']}"]
    protocols = rules.protocol_names(chosen.get("protocols", chosen.get("protocol", "ours")))
    typed = [*fixed, *settings, *overrides]
    cells = [rules.cell_under(name, typed, given.config_dir) for name in protocols]
    store = Store(own["results_dir"])
    sets.setting_of(cells[0], 0)
    draws, repeats = int(own["draws"]), int(own["sets"])
    scored = [score_sets(cell, store, dials, draws=draws, repeats=repeats) for cell in cells]
    comparisons = sum(part.comparisons for part in scored)
    found = [row for part in scored for row in table.audit_rows(part, comparisons)]
    rows = table.from_csv(table.to_csv(found))  # the CSV's digits
    out = Path(own["out"]).expanduser()
    text = table.markdown(rows)
    console.print(text)
    write_bytes(out / "audit.csv", table.to_csv(rows).encode())
    write_bytes(out / "audit.md", text.encode())
    write_json(out / setting.FILE, setting.setting_of_config(cells[0].config))
    drawn = pictures.write_pictures(cells[0], dials, out)
    for path in [out / "audit.csv", out / "audit.md", out / setting.FILE, *drawn]:
        console.print(str(path))
    return 0


def score_sets(
    cell: Cell, store: Store, dials: Sequence[Dial], *, draws: int, repeats: int
) -> Scored:
    """What the metrics of a cell say of fresh real images and of every set with a fault."""
    from fsig_bench.report.audit import sets
    from fsig_bench.report.audit.table import Scored

    steps = [(d, level, s) for d in dials for level, s in enumerate(d.strengths, 1)]
    title = f"audit {cell.protocol.name} on {cell.dataset.name}"
    floor: list[Mapping[str, float]] = []
    planted: dict[Place, list[Mapping[str, float]]] = {}
    with Bar(title, draws + len(steps), "sets") as bar:
        for draw in range(draws):
            stop_if_asked()
            floor.append(sets.floor_values(cell, store, draw))
            bar.update(draw + 1)
        for n, (dial, level, strength) in enumerate(steps):
            place = (dial.name, dial.heading, level, strength)
            planted[place] = []
            for repeat in range(repeats):
                stop_if_asked()
                values = sets.planted_values(cell, store, dial, strength, repeat)
                planted[place].append(values)
            bar.update(draws + n + 1)
    return Scored(
        protocol=cell.protocol.name,
        samples=cell.samples.num_scored,
        floor=floor,
        planted=planted,
    )


if __name__ == "__main__":
    sys.exit(run_word("audit", main))
