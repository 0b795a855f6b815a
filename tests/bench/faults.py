"""Plants every kind of fault in a results folder, and counts what is accepted and what is lost.

    python tests/bench/faults.py                  prints the table; about half an hour on two cores
    python tests/bench/faults.py write=true       also writes it into docs/reliability.md
    python tests/bench/faults.py kills=20 flips=50 signals=10 hostile=false

Flipped bits and swapped pieces are read back by the functions that a run uses. A fault is accepted
where a value other than the written one comes back without an error.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # processes are forked after the libraries have begun
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import bad_downloads
import hostile_records
import kills as killing
import sigterm
from crowd import crowd, without_flock

from fsig_bench.console import console
from fsig_bench.runner.progress import StageProgress
from fsig_bench.runner.run import run
from fsig_bench.store.curve import read_curve
from fsig_bench.store.files import read_tensors
from fsig_bench.store.index import entries
from fsig_bench.store.status import read_status
from fsig_bench.store.store import Store
from fsig_bench.sweep.plan_cache import PlanCache

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
CELLS = 20  # that a crowd asks for
START, END = "<!-- tests/bench/faults.py writes from here -->", "<!-- to here -->"

Read = Callable[[], object]  # what a run gets from a file; raises where it refuses


def made_store(root: Path) -> tuple[Store, list]:
    """A store with four runs, a checkpoint, shared work, a curve, plans and an index."""
    cells, store = killing.grid(4), Store(root)
    for cell in cells:
        run(cell, store)
    crdi = cells[3]
    progress = StageProgress(store, crdi.adapt_key, NoBar(), 0.0)
    progress.save(1, {"x": store.load_state(crdi.adapt_key)[0].tensors["sge"]})
    store.shared(["faults"], lambda: progress.load()[1]["x"])
    plans = PlanCache(store.root)
    plans.put(["method=copy"], [])
    plans.save()
    list(entries(store.root / "runs", short=True))
    return store, cells


class NoBar:
    """A bar that nobody sees."""

    total = 1

    def update(self, *numbers: int) -> None:
        return None

    resume_at = update


def readers(store: Store, cells: list) -> dict[str, list[tuple[Path, Read]]]:
    """By kind of file: the files, and how a run reads each of them."""
    found: dict[str, list[tuple[Path, Read]]] = {}
    for cell in cells:
        adapt = store.adapt_folder(cell.adapt_key)
        found.setdefault("states", []).append(
            (adapt / "state.safetensors", lambda c=cell: plain_state(store, c.adapt_key))
        )
        for start, end in ((0, 4), (4, 8)):
            found.setdefault("shards", []).append(
                (
                    store.shard_path(cell.sample_key, start, end),
                    lambda c=cell, a=start, b=end: store.load_shard(c.sample_key, a, b)[0].tolist(),
                )
            )
        record = store.root / cell.folder / "record.json"
        found.setdefault("records", []).append((record, lambda c=cell: store.record(c.folder)))
    curve = store.adapt_folder(cells[3].adapt_key) / "curve.jsonl"
    found["curves"] = [(curve, lambda: read_curve(curve))]
    key = cells[3].adapt_key
    found["checkpoints"] = [
        (
            store.adapt_folder(key) / "checkpoint.safetensors",
            lambda: StageProgress(store, key, NoBar(), 0.0).load()[1]["x"].tolist(),
        )
    ]
    for path in sorted((store.root / "store" / "features").glob("*.safetensors")):
        full = read_tensors(path)[1]["key"]
        found.setdefault("features", []).append(
            (path, lambda k=full: store.cached_features(k, no_compute).tolist())
        )
    shared = next((store.root / "store" / "shared").glob("*.safetensors"))
    found["shared work"] = [(shared, lambda: store.shared(["faults"], no_compute)[0].tolist())]
    plans = store.root / "store" / "plans.json"
    found["plans of sweeps"] = [(plans, lambda: PlanCache(store.root).known)]
    index = store.root / "store" / "index.sqlite"
    found["index"] = [(index, lambda: [*map(str, entries(store.root / "runs", short=True))])]
    status = store.root / cells[0].folder / "status.json"
    status.write_text('{"status": "running", "time": "2026-01-01T00:00:00+00:00"}')
    found["status files"] = [(status, lambda: type(read_status(status.parent)))]
    return found


def plain_state(store: Store, key: str) -> object:
    found = store.load_state(key)
    assert found is not None
    state, wall_s = found
    tensors = {name: value.tolist() for name, value in state.tensors.items()}
    return tensors, state.seed, state.nfe_adapt, dict(state.meta), wall_s


def no_compute():
    """Stands for work that the store must not ask for."""
    raise AssertionError("computed again, silently")


def outcome(read: Read, expected: object, *, subset: bool = False) -> str:
    """How a faulty file was taken: refused, harmless, accepted or traceback."""
    try:
        found = read()
    except (ValueError, OSError):
        return "refused"
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return "traceback"
    if subset:
        return "harmless" if all(point in expected for point in found) else "accepted"
    if repr(found) == repr(expected) or found is None or found in ({}, []):
        return "harmless"  # not read, or counted as not there
    return "accepted"


def flipped(count: int, root: Path, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(kind of file, outcome) of single bits flipped one at a time, all kinds in turn."""
    store, cells = made_store(root)
    files, rng = readers(store, cells), random.Random(seed)
    for n in range(count):
        kind = list(files)[n % len(files)]
        path, read = rng.choice(files[kind])
        data, expected = path.read_bytes(), read()
        bit = rng.randrange(8 * len(data))
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(bad))
        yield kind, outcome(read, expected, subset=kind == "curves")
        path.write_bytes(data)


def swapped(count: int, root: Path, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(kind of file, outcome) of valid pieces that stand in each other's place."""
    store, cells = made_store(root)
    files, rng = readers(store, cells), random.Random(seed)
    kinds = [kind for kind in ("shards", "states", "features", "records") if len(files[kind]) > 1]
    for n in range(count):
        kind = kinds[n % len(kinds)]
        (one, read), (other, _) = rng.sample(files[kind], 2)
        mine, theirs, expected = one.read_bytes(), other.read_bytes(), read()
        one.write_bytes(theirs)
        other.write_bytes(mine)
        yield kind, outcome(read, expected)
        one.write_bytes(mine)
        other.write_bytes(theirs)


def rows_of(what: str, found: Iterator[tuple[str, str]]) -> tuple[list[str], int]:
    """Markdown rows by kind of file, and how many faults did harm."""
    table: dict[str, Counter] = {}
    for kind, verdict in found:
        table.setdefault(kind, Counter())[verdict] += 1
    rows, bad = [], 0
    for kind, counts in table.items():
        harm = counts["accepted"] + counts["traceback"]
        bad += harm
        whole = counts["refused"] + counts["harmless"]
        rows.append(f"| {what}: {kind} | {sum(counts.values())} | {whole} | {harm} |")
    return rows, bad


def printed_by(function: Callable[[], object]) -> tuple[object, str]:
    """What a function returns, and what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        value = function()
    return value, out.getvalue()


def table(given: dict[str, int], *, hostile: bool) -> tuple[list[str], int]:
    """All rows, and the number of faults that did harm."""
    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for what, faults in (
            ("a flipped bit", flipped(given["flips"], Path(folder) / "flips")),
            ("two pieces swapped", swapped(given["swaps"], Path(folder) / "swaps")),
        ):
            more, harm = rows_of(what, faults)
            rows, bad = rows + more, bad + harm
        accepted, text = printed_by(lambda: bad_downloads.main(given["downloads"]))
        for row in text.splitlines():
            kind, tried, right = (part.strip() for part in row.strip("| ").split("|"))
            rows.append(f"| {kind} | {tried} | {right} | {int(tried) - int(right)} |")
        bad += int(accepted)
        if hostile:
            good, text = printed_by(hostile_records.main)
            tried = len(hostile_records.CASES)
            right, harm = (tried, 0) if good else ("?", 1)
            rows.append(f"| hostile records | {tried} | {right} | {harm} |")
            bad += not good
        grids, survived = killing.torment(given["kills"], Path(folder) / "kills")
        rows.append(
            f"| SIGKILL at a random moment, {grids} grids, {survived} records written meanwhile "
            f"| {given['kills']} | {given['kills']} | 0 |"
        )
        for locks, place in ((nullcontext(), "flock"), (without_flock(), "lock files")):
            (root := Path(folder) / place).mkdir()
            with locks:
                found = crowd(root, processes=given["processes"], count=CELLS)
            rows.append(
                f"| {given['processes']} processes asking for the same {CELLS} runs ({place}): "
                f"pieces made | {found.pieces} | {found.pieces - found.wrong} | {found.wrong} |"
            )
            bad += found.wrong
        signals = sigterm.terminate(given["signals"], Path(folder) / "signals")
        rows.append(
            f"| SIGTERM at a random moment | {given['signals']} | "
            f"{given['signals'] - signals['lost']} | {signals['lost']} |"
        )
        bad += signals["lost"]
    return rows, bad


def main(words: list[str]) -> int:
    """Prints the table; returns how many faults did harm."""
    typed = dict(word.split("=", 1) for word in words)
    write, hostile = typed.pop("write", "false"), typed.pop("hostile", "true")
    given = {"flips": 300, "swaps": 20, "downloads": 30, "kills": 200, "processes": 8}
    given |= {"signals": 100} | {key: int(value) for key, value in typed.items()}
    console.quiet = True
    began = time.perf_counter()
    rows, bad = table(given, hostile=hostile == "true")
    head = ["| fault | tried | refused or harmless | did harm |", "|---|--:|--:|--:|"]
    text = "\n".join([*head, *rows])
    print(text)
    print(f"{bad} faults did harm; {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if write == "true":
        before, rest = PAGE.read_text().split(START)
        PAGE.write_text(f"{before}{START}\n\n{text}\n\n{END}{rest.split(END)[1]}")
    return bad


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]) > 0)
