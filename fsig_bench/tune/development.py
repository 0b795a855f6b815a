"""Settings chosen on the development targets, which stand in no table: there the reference counts.

The objective of a cell is the logarithm of its Frechet distance plus its copy rate, so that one
per cent of copies counts as much as one per cent of distance. A trial's objective is the mean over
the development targets and some subsets of their shots; lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fsig_bench.faceworld.domains import DEVELOPMENT
from fsig_bench.tune.candidates import (
    GROUP,
    VERSION,
    Request,
    candidate_cell,
    check_candidate,
    check_space,
    compose,
    present_settings,
)
from fsig_bench.tune.problem import Problem, check_files
from fsig_bench.tune.space import end_points, present_point
from fsig_bench.tune.trials import Aim, Part

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from fsig_bench.runner.cell import Cell
    from fsig_bench.store.store import Store

MEASURED = ("fd", "copy_rate")


def targets_of(fixed: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The overrides without the dataset, and the development targets that it stands for.

    Raises:
        ValueError: the dataset is none of them.
    """
    named = [word.partition("=")[2] for word in fixed if word.startswith("dataset=")]
    rest = [word for word in fixed if not word.startswith("dataset=")]
    if named == [GROUP]:
        return rest, DEVELOPMENT
    if len(named) != 1 or named[0] not in DEVELOPMENT:
        raise ValueError(
            f"dataset={named[0] if named else ''}: objective=reference looks at the reference, and "
            f"only targets that stand in no table allow that; give dataset={GROUP} or one of "
            f"{', '.join(DEVELOPMENT)}"
        )
    return rest, (named[0],)


def only_measured(cfg: DictConfig) -> list[str]:
    """Overrides that leave of the protocol's metrics those of the objective.

    Raises:
        ValueError: the protocol lacks one of them.
    """
    names = list(cfg.protocol.metrics)
    if lacking := [name for name in MEASURED if name not in names]:
        raise ValueError(
            f"protocol={cfg.protocol.name} has no {lacking[0]}, which objective=reference needs; "
            "choose protocol=ours"
        )
    return [f"~protocol.metrics.{name}" for name in names if name not in MEASURED]


def measure(cell: Cell, store: Store, of: tuple[int, ...]) -> Part:
    """Adapts, samples and scores a cell; each stage is kept in the store.

    Raises:
        FloatingPointError: it diverged, or its samples are not images.
    """
    from fsig_bench.runner.adapt import adapt
    from fsig_bench.runner.build import build_method
    from fsig_bench.runner.sample import sample
    from fsig_bench.runner.score import score

    method = build_method(cell.method, cell.place)
    state, _ = adapt(cell, method, store)
    try:
        fake, _ = sample(cell, method, state, store)
    except ValueError as error:  # pixels that are not finite
        raise FloatingPointError(f"its samples cannot be scored: {error}") from error
    values, _ = score(cell, fake[: cell.samples.num_scored], store)
    found = {name: values[name]["value"] for name in MEASURED}
    if lacking := [name for name, value in found.items() if value is None]:
        raise FloatingPointError(f"it has no {lacking[0]}")
    distance, copies = (float(value) for value in found.values())
    if not distance > 0:
        raise FloatingPointError(f"its Frechet distance is {distance}")
    return Part(of=of, value=math.log(distance) + copies, check=copies)


def reference_problem(request: Request, store: Store) -> Problem:
    """Settings chosen on development targets with their references.

    Raises:
        ValueError, OSError: something cannot run as it is set; nothing has been done yet.
    """
    rest, targets = targets_of(request.fixed)
    rest = [*rest, f"num_images={request.samples}", "controls=[]"]
    cfg = compose([*rest, f"dataset={targets[0]}"])
    rest += only_measured(cfg)
    places = [(t, subset) for t in range(len(targets)) for subset in range(request.subsets)]
    words = [[*rest, f"dataset={targets[t]}", f"subset={subset}"] for t, subset in places]
    request = replace(request, space=check_space(replace(request, fixed=tuple(words[0])), cfg))
    cells = [candidate_cell(own, {}) for own in words]
    check_files(cells[0], words[0], scoring=cells[0].protocol.spec)
    for point in end_points(request.space):
        check_candidate(words[0], point)

    def evaluate(point: Mapping[str, str], known: int) -> Iterator[Part]:
        for place, own in list(zip(places, words, strict=True))[known:]:
            yield measure(candidate_cell(own, point), store, place)

    text = (
        f"mean of log(Frechet distance) + copy rate over {', '.join(targets)}, {request.subsets} "
        f"subsets of shots each, {request.samples} samples"
    )
    return Problem(
        aim=Aim(
            text=text,
            uses=f"shots and references of {', '.join(targets)}",
            value="objective",
            check="copy rate",
            parts="cells",
        ),
        name=study_name(cells, request),
        space=request.space,
        first=present_point(request.space, present_settings(cfg)),
        steps=len(places),
        seed=cells[0].seed,
        evaluate=evaluate,
        copying=lambda: None,
    )


def study_name(cells: Sequence[Cell], request: Request) -> str:
    """Method, `dev`, and a digest of all that the objective depends on."""
    from fsig_bench.store.keys import STAGE_VERSION, digest

    keyed = [VERSION, STAGE_VERSION, sorted(map(repr, request.space))]
    keyed += [cell.run_id for cell in cells]
    return f"{cells[0].method.name}-{GROUP}-{digest(keyed)[:10]}"
