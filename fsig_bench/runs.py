"""`fsig-bench runs`: what is on disk, whether it is whole, why a run is not reused.

    fsig-bench runs [status=failed method=crdi ...]     lists the runs, those that fit
    fsig-bench runs why method=crdi dataset=babies ...  says whether this run is there, or how the
                                                        nearest runs differ from it
    fsig-bench runs verify [remove=true]                reads every result and every file that runs
                                                        read, names what is damaged; remove=true
                                                        removes damaged results
    fsig-bench runs prune [yes=true] [shared=true]      removes what no record needs; without
                                                        yes=true it only lists; shared=true: also
                                                        what methods compute for all their runs
                                                        (both: data_dir=FOLDER of prepared sets)
    fsig-bench runs unlock [NAME] [yes=true]            who holds which lock; frees the named one,
                                                        with yes=true even from who still works

results_dir=FOLDER goes with each (default: results). Status: done, running, silent (no heartbeat
for minutes), pending, failed, interrupted, timeout, killed, damaged. --config-dir DIR goes with
`why`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import dirname
from pathlib import Path

from fsig_bench.api.plain import Json, Record
from fsig_bench.console import printable, run_word
from fsig_bench.store.index import Entry, entries
from fsig_bench.store.lock import is_held
from fsig_bench.store.records import flat, is_usable, read_record
from fsig_bench.store.status import read_status
from fsig_bench.store.store import Store, other_results, parse_run_folder, run_folders
from fsig_bench.store.unlock import status_of_held, unlock
from fsig_bench.words import parse_words, results_root, split_config_dir, switch

KEYS = ("status", "suite", "method", "dataset", "k", "seed", "run_id")
SUBCOMMANDS = ("why", "verify", "prune", "unlock")


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """One run folder."""

    status: str  # done, running, silent, pending, failed, interrupted, timeout, killed, damaged
    suite: str
    method: str
    dataset: str
    k: str
    seed: str
    run_id: str
    folder: Path
    reason: str  # the reason of a failure
    record: Record | None

    def fits(self, wanted: Mapping[str, str]) -> bool:
        """Whether every key has one of the wanted values, separated by commas."""
        return all(getattr(self, key) in v.split(",") for key, v in wanted.items())


def read_run(folder: Path, store: Store) -> RunStatus:
    """How one run folder stands."""
    name = parse_run_folder(folder)
    status, reason, record = "killed", "", None
    kept = read_status(folder)
    if (folder / "record.json").exists():
        try:
            status, record = "done", read_record(folder / "record.json")
        except (ValueError, OSError) as error:
            status, reason = "damaged", str(error)
    elif is_held(lock := store.lock_path(f"run-{name['run_id']}")):
        status, reason = status_of_held(lock, folder)
    elif kept.get("status") in ("pending", "failed", "timeout", "interrupted"):
        status, reason = kept["status"], kept.get("error", "")
    else:
        reason = killed_reason(kept.get("time"))
    return RunStatus(
        status=status,
        **name,
        folder=folder,
        reason=reason,
        record=record,
    )


def killed_reason(last: str | None) -> str:
    """Why a run has neither a record nor a process.

    Args:
        last: when its status was written last, UTC; None: never.
    """
    when = f"it wrote its status last at {last}" if last else "it never wrote a status"
    return (
        f"its process ended and left no reason ({when}); it may have been killed or have run out "
        "of memory; the same command continues the run"
    )


def found_runs(store: Store) -> list[RunStatus]:
    """Every run folder below the results, in order of its path."""
    known = {dirname(entry.place): entry for entry in entries(store.root / "runs", short=False)}
    return [
        finished_run(folder, known[place])
        if (place := str(folder)) in known
        else read_run(folder, store)
        for folder in run_folders(store.root)
    ]


def finished_run(folder: Path, entry: Entry) -> RunStatus:
    """A run folder with a record, by what the index says about it."""
    return RunStatus(
        status="damaged" if entry.problem else "done",
        **parse_run_folder(folder),
        folder=folder,
        reason=entry.problem,
        record=None if entry.problem else {"metrics": {"fd": {"value": entry.distance}}},
    )


def listing(runs: Sequence[RunStatus]) -> list[str]:
    """A line for each run; the Frechet distance where there is a record."""
    lines = []
    for run in runs:
        distance = (run.record or {}).get("metrics", {}).get("fd", {}).get("value")
        shown = "" if distance is None else f"fd {distance:.2f}"
        head = f"{run.status:<8} {run.suite:<6} {run.method:<14} {run.dataset:<11}"
        line = f"{head} k={run.k:<4} seed={run.seed:<3} {run.run_id}  {shown or run.reason}"
        lines.append(line if line.isprintable() else printable(line))
    counts = {s: sum(r.status == s for r in runs) for s in sorted({r.status for r in runs})}
    parts = ", ".join(f"{n} {s}" for s, n in counts.items())
    return [*lines, f"{len(runs)} runs: {parts}" if parts else "0 runs"]


KEYED = (
    *("suite", "method", "dataset", "protocol", "k", "subset", "seed", "draw"),
    *("num_images", "precision"),
)


def differences(asked: Json, record: Record) -> list[str]:
    """The settings that decide a run in which a config and a record's differ, sorted."""
    ours, theirs = (flat({k: c[k] for k in KEYED if k in c}) for c in (asked, record["config"]))
    return [
        f"{key}: {ours.get(key, 'nothing')} asked, {theirs.get(key, 'nothing')} there"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key) and not key.endswith("device") and ".card." not in key
    ]


def why(words: Sequence[str], store: Store, config_dir: Path | None = None) -> list[str]:
    """For a run as one would type it: is it there, and if not, how the nearest ones differ.

    Raises:
        ValueError: the words do not compose to a run.
    """
    from fsig_bench.runner.compose import compose_config
    from fsig_bench.runner.resolve import resolve
    from fsig_bench.runner.reuse import code_changes

    asked = resolve(compose_config(words, config_dir=config_dir))
    if is_usable(store.root / asked.folder / "record.json"):
        return [f"reused: {store.root / asked.folder}"]
    name = asked.method.name, asked.dataset.name
    there = [r for r in found_runs(store) if r.record and (r.method, r.dataset) == name]
    near = [run for run in (read_run(r.folder, store) for r in there) if run.record]
    lines = [f"{asked.run_id} is not there: {asked.label} would run"]
    if own := read_run_if_there(asked.folder, store):
        lines.append(f"  its folder is {own.status}: {own.reason}")
    answers = []
    for run in near:
        assert run.record is not None
        stages = run.record.get("stages", {})
        kept = [
            n
            for n, k in (("adapt", asked.adapt_key), ("sample", asked.sample_key))
            if str(stages.get(n))[:16] == k[:16]
        ]
        found = differences(asked.config, run.record)
        reused = f"; {' and '.join(kept)} would be reused" if kept else ""
        found += code_changes(run.record) if run.record.get("code") else []
        found = found or ["in weights, images or version of the code only"]
        answers.append((found, [f"  {run.run_id} differs{reused}:", *(f"    {d}" for d in found)]))
    for _, part in sorted(answers, key=lambda pair: len(pair[0]))[:3]:
        lines += part
    return lines


def read_run_if_there(folder: str, store: Store) -> RunStatus | None:
    """A run folder's state, if it exists."""
    path = store.root / folder
    return read_run(path, store) if path.is_dir() else None


def main(words: Sequence[str]) -> int:
    """Prints the answer; exit status 1 where something is damaged.

    Raises:
        ValueError: an unknown word or key, or a folder that is not there.
    """
    named = [w for w in words if w in SUBCOMMANDS]
    verb = named[0] if named else "list"
    rest = [w for w in words if w != verb]
    root = Path("results")
    for typed in [w for w in rest if w.startswith("results_dir=")]:
        root = results_root(typed.partition("=")[2])
        rest.remove(typed)
    store = Store(root)
    if verb == "why":
        overrides, config_dir = split_config_dir(rest)
        print("\n".join(why(overrides, store, config_dir)))
        return 0
    if verb == "unlock":
        found = parse_words(rest, word="runs unlock", keys=("yes",))
        force = switch(found.settings, "yes", default=False)
        print("\n".join(unlock(store, found.positional, even_working=force)))
        return 0
    if verb == "list":
        given = parse_words(rest, word="runs", keys=KEYS, positional=SUBCOMMANDS).settings
        print("\n".join(listing([r for r in found_runs(store) if r.fits(given)])))
        for folder in other_results(root):
            print(f"more runs are in {folder}: fsig-bench runs results_dir={folder}")
        return 0
    from fsig_bench.store import tidy  # imports torch

    keys = tidy.KEYS[verb]
    given = parse_words(rest, word=f"runs {verb}", keys=keys, positional=SUBCOMMANDS).settings
    return (tidy.verify if verb == "verify" else tidy.prune)(store, given)


if __name__ == "__main__":
    sys.exit(run_word("runs", main))
