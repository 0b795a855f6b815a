r"""`fsig-bench tune`: settings chosen on the shots alone, never on the reference.

    fsig-bench tune method=domainstudio dataset=babies \
        'method.lr=tag(log,interval(1e-5,1e-3))' 'method.iterations=range(50,401,50)' trials=20

    method.KEY=interval(LOW,HIGH)        a real number, uniform between the ends
    method.KEY=tag(log,interval(L,H))    a real number, uniform in its logarithm
    method.KEY=range(START,STOP,STEP)    a whole number below STOP, as in Python
    method.KEY=choice(A,B)               one of these; method/GROUP=choice(A,B): one of its presets
    trials=20                            settings tried in all, those of earlier calls included
    samples=40                           drawn in each fold
    held=2                               shots left out in each fold

Ranges are written as Hydra writes them. Everything else is an override as of `fsig-bench`. Settings
are the better, the nearer the samples come to shots that the method has not seen (docs/tuning.md).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fsig_bench.tune.candidates import (
    Request,
    candidate_cell,
    check_candidate,
    check_space,
    parse_request,
    present_settings,
    study_name,
    without_reference,
)
from fsig_bench.tune.space import end_points, present_point

if TYPE_CHECKING:
    from fsig_bench.runner.cell import Cell
    from fsig_bench.store.store import Store
    from fsig_bench.tune.leave_out import Fold
    from fsig_bench.tune.study import Study
    from fsig_bench.tune.trials import FinishedTrial


def check_files(cell: Cell, fixed: Sequence[str]) -> None:
    """Raises ValueError or OSError where a file that adapting or measuring needs is not right."""
    from fsig_bench.api.assets import assets_in
    from fsig_bench.api.weights import verified
    from fsig_bench.runner.keys import weight_files

    used = [cell.method.spec, cell.protocol.perceptual]
    if missing := [asset for asset in assets_in(used) if not asset.target.exists()]:
        raise ValueError(
            f"{missing[0]} is not there; fsig-bench {shlex.join(fixed)} "
            "fetches it or says where to get it"
        )
    for path in sorted(weight_files(used)):
        verified(path)


def prepare_study(request: Request, store: Store) -> tuple[Request, list[str], Study]:
    """The search with its ranges checked, the overrides without the reference, and the study.

    Raises:
        ValueError, OSError: something cannot run as it is set; nothing has been done yet.
    """
    from fsig_bench.tune.leave_out import folds
    from fsig_bench.tune.study import Study

    fixed, cfg = without_reference(request.fixed)
    request = replace(request, space=check_space(request, cfg))
    cell = candidate_cell(fixed, {})
    check_files(cell, request.fixed)
    splits = folds(cell.shots.k, request.held, cell.seed)
    for point in end_points(request.space):
        check_candidate(fixed, point)
    study = Study(
        name=study_name(cell, request),
        space=request.space,
        first=present_point(request.space, present_settings(cfg)),
        steps=len(splits),
        seed=cell.seed,
        store=store,
    )
    return request, fixed, study


def best_command(fixed: Sequence[str], best: FinishedTrial | None) -> str | None:
    """The run with the best settings, ready to type."""
    if best is None:
        return None
    return f"fsig-bench {shlex.join([*fixed, *(f'{k}={v}' for k, v in best.words.items())])}"


def main(words: Sequence[str]) -> int:
    """Searches, prints the trials and the best settings as a command, writes them as JSON.

    Raises:
        ValueError, OSError: the words are wrong, or no settings of the space work.
    """
    from fsig_bench.api.files import write_json
    from fsig_bench.console import console, split_config_dir
    from fsig_bench.runner.compose import search_path
    from fsig_bench.store.store import Store
    from fsig_bench.tune.candidates import compose
    from fsig_bench.tune.leave_out import copying_score, folds, leave_out_cell, perceptual_of
    from fsig_bench.tune.ranges import outdated
    from fsig_bench.tune.study import optuna_package
    from fsig_bench.tune.trials import best_of, log_line, trial_json, trials_table

    overrides, config_dir = split_config_dir(words)
    if config_dir is not None:
        overrides.append(search_path(config_dir))
    request = parse_request(overrides)
    for word, now in outdated(overrides):
        console.print(f"{word}: write {now}; the next version reads no older form", markup=False)
    version = optuna_package().__version__
    store = Store(compose(request.fixed).results_dir)
    request, fixed, study = prepare_study(request, store)
    store.check_writable(1 << 24)
    objective = (
        f"mean LPIPS from shots left out ({request.held} at a time, {study.steps} folds) to the "
        f"nearest of {request.samples} samples"
    )
    console.print(f"objective: {objective}; it uses the shots only and reads no reference")
    cell = candidate_cell(fixed, {})
    splits = folds(cell.shots.k, request.held, cell.seed)
    shots = cell.dataset.shots(cell.shots.k, cell.shots.subset)
    network, size = perceptual_of(cell), cell.place.batch_size
    copying = copying_score(shots, network, splits=splits, batch_size=size)
    console.print(f"copying the shots adapted to would score {copying:.4f}")
    console.print(f"study {study.journal}")

    def evaluate(point: Mapping[str, str], known: int) -> Iterator[Fold]:
        settings = candidate_cell(fixed, point)
        return leave_out_cell(settings, store, splits=splits[known:], samples=request.samples)

    enough = study.search(
        evaluate, request.trials, lambda t: console.print(log_line(t), markup=False)
    )
    trials = study.results()
    if not trials:
        raise ValueError("no trial has finished yet; other processes work on all that remain")
    console.print(trials_table(f"{len(trials)} trials of {study.name}", trials))
    if not enough:
        console.print(
            "the sampler suggests no new settings any more; this space is probably exhausted"
        )
    best = best_of(trials)
    command = best_command(request.fixed, best)
    result = {
        "best": best and best.number,
        "command": command,
        "copying": copying,
        "fixed": sorted(request.fixed),
        "held": request.held,
        "objective": objective,
        "optuna": version,
        "samples": request.samples,
        "space": {d.key: str(d) for d in sorted(request.space, key=lambda d: d.key)},
        "study": study.name,
        "trials": [trial_json(t) for t in trials],
        "uses": "shots only",
    }
    path = study.journal.with_suffix(".json")
    write_json(path, result)
    console.print(f"trials and settings: {path}")
    if command is None:
        why = next((t.reason for t in trials if t.reason), "all were pruned")
        raise ValueError(f"no settings of this space worked: {why}")
    console.print("best, chosen on the shots only:")
    console.print(f"  {command}", markup=False)
    return 0


if __name__ == "__main__":
    from fsig_bench.console import run_word

    sys.exit(run_word("tune", main))
