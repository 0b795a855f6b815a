"""What a sweep calls its cells: "cell 3 of 8: crdi on babies, seed 1"."""

from __future__ import annotations

from collections.abc import Sequence

from fsig_bench.sweep.plan import PlannedRun

SPOKEN = ("seed", "k", "subset")  # shown as "seed 1"; other settings as "key=value"
NOT_SHOWN = ("controls", "results_dir")


def values_by_key(overrides: Sequence[str]) -> dict[str, str]:
    """The overrides of one job as key -> value."""
    return {key: value for key, _, value in (o.partition("=") for o in overrides)}


def varying_keys(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The keys that have more than one value over the jobs, in the order of the overrides.

    Args:
        jobs: the overrides of each job, all with the same keys.
    """
    values: dict[str, set[str]] = {}
    for overrides in jobs:
        for key, value in values_by_key(overrides).items():
            values.setdefault(key, set()).add(value)
    return [key for key, found in values.items() if len(found) > 1]


def cell_title(overrides: Sequence[str], varying: Sequence[str], run: PlannedRun | None) -> str:
    """Method, dataset and seed of a cell, and whatever else varies over the sweep.

    Args:
        overrides: those of the cell's job.
        varying: the keys that vary over the sweep.
        run: the cell's run, if it is known by now.
    """
    chosen = values_by_key(overrides)
    if run is not None:
        chosen |= {"method": run.method, "dataset": run.dataset, "seed": str(run.seed)}
    head = f"{chosen.get('method', 'no method')} on {chosen.get('dataset', 'no dataset')}"
    keys = dict.fromkeys(["seed", *(key for key in varying if key not in ("method", "dataset"))])
    parts = [
        f"{key} {chosen[key]}" if key in SPOKEN else f"{key}={chosen[key]}"
        for key in keys
        if key in chosen
    ]
    return ", ".join([head, *parts])


def typed(overrides: Sequence[str]) -> str:
    """The overrides of a job as a user would type them."""
    left_out = tuple(f"{key}=" for key in NOT_SHOWN)
    return " ".join(o for o in overrides if not o.startswith(left_out))


JOB_NAME = "hydra.job.name="


def name_override(title: str) -> str:
    """The override that gives a job its title, wherever it runs, as Hydra's name of the job."""
    # These signs have a meaning inside quotes of an override.
    plain = title.translate({ord(sign): None for sign in "'\\$"})
    return f"{JOB_NAME}'{plain}'"


def title_of(overrides: Sequence[str]) -> str:
    """The title that `name_override` gave to a job; all its overrides if it has none."""
    names = [o.removeprefix(JOB_NAME).strip("'") for o in overrides if o.startswith(JOB_NAME)]
    return names[-1] if names else typed(overrides)
