"""A search made ready: what a trial evaluates, and what the search's numbers depend on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fsig_bench.api.plain import Json
from fsig_bench.tune.candidates import (
    Request,
    candidate_cell,
    check_candidate,
    check_space,
    present_settings,
    study_name,
    without_reference,
)
from fsig_bench.tune.space import Dimension, Point, end_points, present_point
from fsig_bench.tune.trials import Aim, Part

if TYPE_CHECKING:
    from fsig_bench.runner.cell import Cell
    from fsig_bench.store.store import Store

# Overrides and how many parts are known already -> the other parts, as they are done.
Evaluate = Callable[[Mapping[str, str], int], Iterator[Part]]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Everything that a search needs besides the store."""

    aim: Aim
    name: str  # of the study
    space: tuple[Dimension, ...]
    first: Point | None  # the settings as they stand
    steps: int  # parts of a trial
    seed: int
    evaluate: Evaluate
    copying: Callable[[], float | None]  # the objective of a replay of the shots, where it is known


def check_files(cell: Cell, fixed: Sequence[str], *, scoring: Json) -> None:
    """Raises ValueError or OSError where a file that adapting or `scoring` needs is not right."""
    from fsig_bench.api.assets import assets_in
    from fsig_bench.api.weights import verified
    from fsig_bench.runner.keys import weight_files

    used = [cell.method.spec, scoring]
    if missing := [asset for asset in assets_in(used) if not asset.target.exists()]:
        raise ValueError(
            f"{missing[0]} is not there; fsig-bench {shlex.join(fixed)} "
            "fetches it or says where to get it"
        )
    for path in sorted(weight_files(used)):
        verified(path)


def shots_problem(request: Request, store: Store) -> Problem:
    """Settings chosen on the shots alone; see `fsig_bench.tune.leave_out`.

    Raises:
        ValueError, OSError: something cannot run as it is set; nothing has been done yet.
    """
    from fsig_bench.tune.leave_out import copying_score, folds, leave_out_cell, perceptual_of

    fixed, cfg = without_reference(request.fixed)
    request = replace(request, space=check_space(request, cfg))
    cell = candidate_cell(fixed, {})
    check_files(cell, request.fixed, scoring=cell.protocol.perceptual)
    splits = folds(cell.shots.k, request.held, cell.seed)
    for point in end_points(request.space):
        check_candidate(fixed, point)

    def evaluate(point: Mapping[str, str], known: int) -> Iterator[Part]:
        settings = candidate_cell(fixed, point)
        return leave_out_cell(settings, store, splits=splits[known:], samples=request.samples)

    def copying() -> float:
        shots = cell.dataset.shots(cell.shots.k, cell.shots.subset)
        size = cell.place.batch_size
        return copying_score(shots, perceptual_of(cell), splits=splits, batch_size=size)

    text = (
        f"mean LPIPS from shots left out ({request.held} at a time, {len(splits)} folds) to the "
        f"nearest of {request.samples} samples"
    )
    return Problem(
        aim=Aim(text=text, uses="shots only", value="left out", check="adapted to", parts="folds"),
        name=study_name(cell, request),
        space=request.space,
        first=present_point(request.space, present_settings(cfg)),
        steps=len(splits),
        seed=cell.seed,
        evaluate=evaluate,
        copying=copying,
    )
