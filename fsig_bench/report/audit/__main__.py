"""`fsig-bench audit`: sets with planted faults, scored: which metric sees which fault, how early?

    fsig-bench audit                                   all faults on the babies, ten shots
    fsig-bench audit blur copies dataset=sketches      some faults, another target of suite=mini
    fsig-bench audit protocol=ours num_images=500 draws=10 out=docs
    fsig-bench audit +metric@protocol.metrics.fd_infinity=fd_infinity

The renderer makes the sets: each has one fault, at five strengths (conf/audit/planted.yaml). The
floor is the same metric on `draws` other sets of fresh real images. A fault is seen where a metric
lies beyond that floor, in its bad direction, by more than chance over the whole table allows.
Prints metric x fault, and writes audit.csv, audit.md and a picture of each fault.

  dataset=babies   k=10   subset=0     the target and the shots
  num_images=500   draws=10            images in a set; sets of fresh real images (at least 3)
  protocol=ours    protocol.KEY=       which metrics, and a setting of them
  plan=planted     --config-dir DIR    the faults: conf/audit/PLAN.yaml, or DIR/audit/PLAN.yaml
  out=results/audit                    where the table and the pictures go
  results_dir=results                  where values are kept: what is there is not scored again
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsig_bench.api.files import write_bytes, write_json
from fsig_bench.api.stopping import stop_if_asked
from fsig_bench.console import Bar, console, parse_words, run_word

KEYS = ("dataset", "k", "subset", "seed", "num_images", "protocol", "device", "batch_size")
OWN = {"draws": "10", "plan": "planted", "out": "results/audit", "results_dir": "results"}
MORE = ("protocol.", "~protocol.", "suite.", "+metric@", "+network@", "dataset.")


def main(words: Sequence[str]) -> int:
    """Scores the sets, prints the table and writes it; returns 0.

    Raises:
        ValueError: an unknown fault, plan or setting, or a dataset that is not drawn.
    """
    overrides = [word for word in words if word.startswith(MORE)]
    rest = [word for word in words if word not in overrides]
    given = parse_words(rest, word="audit", keys=(*KEYS, *OWN))
    own = OWN | {key: value for key, value in given.settings.items() if key in OWN}
    if not own["draws"].isdecimal() or int(own["draws"]) < 3:
        raise ValueError(f"draws={own['draws']}: give a whole number from 3")
    from fsig_bench.help import nearest
    from fsig_bench.report.audit import pictures, sets, setting, table
    from fsig_bench.runner.compose import compose_config
    from fsig_bench.runner.resolve import resolve
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
    config = compose_config([*fixed, *settings, *overrides], config_dir=given.config_dir)
    cell, store = resolve(config), Store(own["results_dir"])
    sets.setting_of(cell, 0)
    draws = int(own["draws"])
    steps = [(d, level, s) for d in dials for level, s in enumerate(d.strengths, 1)]
    floor, planted = [], {}
    with Bar(f"audit on {cell.dataset.name}", draws + len(steps), "sets") as bar:
        for draw in range(draws):
            stop_if_asked()
            floor.append(sets.floor_values(cell, store, draw))
            bar.update(draw + 1)
        for n, (dial, level, strength) in enumerate(steps):
            stop_if_asked()
            place = (dial.name, dial.heading, level, strength)
            planted[place] = sets.planted_values(cell, store, dial, strength)
            bar.update(draws + n + 1)
    rows = table.from_csv(table.to_csv(table.audit_rows(planted, floor)))  # the CSV's digits
    out = Path(own["out"]).expanduser()
    text = table.markdown(rows)
    console.print(text, markup=False)
    write_bytes(out / "audit.csv", table.to_csv(rows).encode())
    write_bytes(out / "audit.md", text.encode())
    write_json(out / setting.FILE, setting.setting_of_config(cell.config))
    for path in [
        out / "audit.csv",
        out / "audit.md",
        out / setting.FILE,
        *pictures.write_pictures(cell, dials, out),
    ]:
        console.print(str(path))
    return 0


if __name__ == "__main__":
    sys.exit(run_word("audit", main))
