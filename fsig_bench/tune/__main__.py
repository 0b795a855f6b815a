r"""`fsig-bench tune`: settings chosen on the shots alone, or on targets that stand in no table.

    fsig-bench tune method=domainstudio dataset=babies \
        'method.lr=tag(log,interval(1e-5,1e-3))' 'method.iterations=range(50,401,50)' trials=20
    fsig-bench tune objective=reference dataset=dev method=rs_imle 'method.lr=choice(...)'
    fsig-bench tune plan=mini method=rs_imle             ranges and budget of conf/tune/mini.yaml

    method.KEY=interval(LOW,HIGH)        a real number, uniform between the ends
    method.KEY=tag(log,interval(L,H))    a real number, uniform in its logarithm
    method.KEY=range(START,STOP,STEP)    a whole number below STOP, as in Python
    method.KEY=choice(A,B)               one of these; method/GROUP=choice(A,B): one of its presets
    objective=shots                      nearness to shots left out; no reference is read
    objective=reference                  Frechet distance and copies, on development targets only
    trials=20                            settings tried in all, those of earlier calls included
    startup=10                           of these drawn at random, before TPE suggests the others
    samples=40                           drawn in each fold (objective=reference: 500 in each cell)
    held=2                               shots left out in each fold (objective=shots)
    subsets=2                            of the shots of each target (objective=reference)

Ranges are written as Hydra writes them. Everything else is an override as of `fsig-bench`. Settings
are the better, the nearer the samples come to shots that the method has not seen (docs/tuning.md).
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsig_bench.tune.candidates import Request, parse_request, with_one_target

if TYPE_CHECKING:
    from fsig_bench.store.store import Store
    from fsig_bench.tune.problem import Problem
    from fsig_bench.tune.trials import FinishedTrial


def prepare(request: Request, store: Store) -> Problem:
    """The search, checked.

    Raises:
        ValueError, OSError: something cannot run as it is set; nothing has been done yet.
    """
    if request.objective == "reference":
        from fsig_bench.tune.development import reference_problem

        return reference_problem(request, store)
    from fsig_bench.tune.problem import shots_problem

    return shots_problem(request, store)


def recorded_words(words: Sequence[str]) -> list[str]:
    """Overrides without those that say only where and how fast a search ran, sorted."""
    from fsig_bench.store.records import NOT_IN_RECORD

    return sorted(w for w in words if re.split(r"[.=]", w)[0] not in NOT_IN_RECORD)


def best_command(fixed: Sequence[str], best: FinishedTrial | None) -> str | None:
    """The run with the best settings, ready to type; of several targets the first."""
    if best is None:
        return None
    words = with_one_target(fixed)
    return f"fsig-bench {shlex.join([*words, *(f'{k}={v}' for k, v in best.words.items())])}"


def main(words: Sequence[str]) -> int:
    """Searches, prints the trials and the best settings as a command, writes them as JSON.

    Raises:
        ValueError, OSError: the words are wrong, or no settings of the space work.
    """
    from fsig_bench.api.files import write_json
    from fsig_bench.console import console
    from fsig_bench.runner.compose import search_path
    from fsig_bench.store.store import Store
    from fsig_bench.tune.candidates import results_dir_of
    from fsig_bench.tune.plans import with_plan
    from fsig_bench.tune.ranges import outdated
    from fsig_bench.tune.study import Study, optuna_package, way_of_suggesting
    from fsig_bench.tune.trials import best_of, log_line, trial_json, trials_table
    from fsig_bench.words import split_config_dir

    overrides, config_dir = split_config_dir(words)
    overrides = with_plan(overrides, config_dir)
    if config_dir is not None:
        overrides.append(search_path(config_dir))
    request = parse_request(overrides)
    for word, now in outdated(overrides):
        console.print(f"{word}: write {now}; the next version reads no older form")
    version = optuna_package().__version__
    store = Store(results_dir_of(request.fixed))
    problem = prepare(request, store)
    aim = problem.aim
    study = Study(
        name=problem.name,
        space=problem.space,
        first=problem.first,
        steps=problem.steps,
        startup=request.startup,
        seed=problem.seed,
        store=store,
    )
    store.check_writable(1 << 24)
    console.print(f"objective: {aim.text}; it uses {aim.uses}")
    copying = problem.copying()
    if copying is not None:
        console.print(f"copying the shots adapted to would score {copying:.4f}")
    way = way_of_suggesting(problem.space, trials=request.trials, startup=request.startup)
    console.print(f"settings: {way}")
    console.print(f"study {study.journal}")
    enough = study.search(
        problem.evaluate, request.trials, lambda t: console.print(log_line(t, aim))
    )
    trials = study.results()
    if not trials:
        raise ValueError("no trial has finished yet; other processes work on all that remain")
    console.print(trials_table(f"{len(trials)} trials of {study.name}", trials, aim))
    if not enough:
        console.print(
            "the sampler suggests no new settings any more; this space is probably exhausted"
        )
    best = best_of(trials)
    fixed = recorded_words(request.fixed)
    command = best_command(fixed, best)
    result = {
        "best": best and best.number,
        "command": command,
        "copying": copying,
        "fixed": fixed,
        "objective": aim.text,
        "optuna": version,
        "samples": request.samples,
        "space": {d.key: str(d) for d in sorted(problem.space, key=lambda d: d.key)},
        "study": study.name,
        "suggested": way,
        "trials": [trial_json(t, aim) for t in trials],
        "uses": aim.uses,
    }
    path = study.journal.with_suffix(".json")
    write_json(path, result)
    console.print(f"trials and settings: {path}")
    if command is None:
        why = next((t.reason for t in trials if t.reason), "all were pruned")
        raise ValueError(f"no settings of this space worked: {why}")
    console.print(f"best, chosen on {aim.uses}:")
    console.print(f"  {command}")
    return 0


if __name__ == "__main__":
    from fsig_bench.console import run_word

    sys.exit(run_word("tune", main))
