"""Points gained by keeping the checkpoint with the best number on the reference.

results/checkpoints holds runs of one method that differ in one setting, its number of steps, drawn
twice (conf/experiment/checkpoints.yaml), and studies of `fsig-bench tune` that choose among the
same numbers of steps on the shots alone. A *unit* is a target with a set of shots. Everything is
chosen on the first draw; the second one shows what is left of a gain on fresh samples. Both are
scored against the same reference images.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from fsig_bench.api.plain import Json, Record
from fsig_bench.report.inference.units import chance_of
from fsig_bench.report.records import comparable_setting, load
from fsig_bench.report.variants import settings_of
from fsig_bench.runner.compose import compose_config
from fsig_bench.store.records import flat

METRIC = "fd"  # what papers choose checkpoints by
Place = tuple[str, str, int, int]  # method, dataset, subset, seed


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One method on one set of shots, at several numbers of steps."""

    method: str
    dataset: str
    label: str
    key: str  # the setting that holds the number of steps
    distances: Mapping[int, tuple[float, ...]]  # steps -> a distance for each draw
    fixed: int  # steps of the method's YAML file
    on_shots: int | None  # steps that a study on the shots alone chose

    @property
    def best(self) -> int:
        """The steps with the smallest distance on the first draw."""
        return min(self.distances, key=lambda steps: self.distances[steps][0])

    def gain(self, steps: int, draw: int = 0) -> float:
        """How much smaller the distance is after `steps` than after the fixed number."""
        return self.distances[self.fixed][draw] - self.distances[steps][draw]

    @property
    def draws(self) -> int:
        """How many draws there are of every number of steps."""
        return len(self.distances[self.fixed])

    def edge(self, draw: int = 0) -> float | None:
        """The gain of the best steps beyond that of the steps that the shots chose."""
        if self.on_shots is None:
            return None
        return self.gain(self.best, draw) - self.gain(self.on_shots, draw)


def read_units(folder: Path) -> list[Unit]:
    """From a results folder: its records, and its studies in `tune/`.

    Raises:
        ValueError: as `units_of` does.
    """
    studies = [json.loads(path.read_text()) for path in sorted((folder / "tune").glob("*.json"))]
    return units_of(load([folder]), studies, settings_of_yaml)


def settings_of_yaml(method: str, dataset: str) -> Json:
    """A method's settings in the mini suite as dotted keys, as its YAML files hold them."""
    config = compose_config([f"method={method}", "suite=mini", f"dataset={dataset}"])
    return flat({"method": OmegaConf.to_container(config.method, resolve=False)})


def chosen_in(studies: Iterable[Json]) -> dict[tuple[Place, str], int]:
    """(place, setting) -> the value that a study found best."""
    found = {}
    for study in studies:
        fixed = dict(word.split("=", 1) for word in study["fixed"])
        place = (fixed["method"], fixed["dataset"])
        subset, seed = int(fixed.get("subset", 0)), int(fixed.get("seed", 0))
        for trial in study["trials"]:
            if trial["number"] == study["best"]:
                for key, value in trial["settings"].items():
                    found[(*place, subset, seed), key] = int(value)
    return found


def units_of(
    records: Sequence[Record], studies: Iterable[Json], fixed_of: Callable[[str, str], Json]
) -> list[Unit]:
    """The units of the records.

    Args:
        records: of runs that differ in their number of steps.
        studies: that chose among the same numbers.
        fixed_of: a method and a target -> the method's settings, as dotted keys.

    Raises:
        ValueError: the runs of a unit differ in other ways, or the fixed number is not among them.
    """
    groups: dict[Place, list[Record]] = defaultdict(list)
    for r in records:
        chance = chance_of(r)
        groups[r["method"], r["dataset"], chance.subset, chance.seed].append(r)
    chosen, out = chosen_in(studies), []
    for place, group in sorted(groups.items()):
        key = differing_setting(place, group)
        by_steps: dict[int, dict[int, float]] = defaultdict(dict)
        for r in group:
            steps = int(settings_of(r)[key])
            by_steps[steps][chance_of(r).draw] = r["metrics"][METRIC]["value"]
        fixed, on_shots = int(fixed_of(*place[:2])[key]), chosen.get((place, key))
        if fixed not in by_steps:
            raise ValueError(f"{place[0]} on {place[1]}: no run has the YAML's {key}={fixed}")
        if on_shots is not None and on_shots not in by_steps:
            raise ValueError(f"{place[0]} on {place[1]}: no run has the study's {key}={on_shots}")
        draws = sorted(set.intersection(*(set(v) for v in by_steps.values())))
        if not draws:
            raise ValueError(
                f"{place[0]} on {place[1]}: its numbers of steps have no draw in common; run all "
                "of them with the same draw"
            )
        out.append(
            Unit(
                method=place[0],
                dataset=place[1],
                label=group[0]["config"]["method"]["card"]["label"],
                key=key,
                distances={s: tuple(v[d] for d in draws) for s, v in sorted(by_steps.items())},
                fixed=fixed,
                on_shots=on_shots,
            )
        )
    return out


def differing_setting(place: Place, group: Sequence[Record]) -> str:
    """The one setting in which the runs of a unit differ.

    Raises:
        ValueError: they differ in none or in several, or in protocol, k or number of samples.
    """
    if len({comparable_setting(r) for r in group}) > 1:
        raise ValueError(f"the runs of {place[0]} on {place[1]} were not scored alike")
    own = [settings_of(r) for r in group]
    keys = sorted({key for s in own for key in s if len({repr(o.get(key)) for o in own}) > 1})
    if len(keys) != 1:
        what = ", ".join(keys) or "nothing"
        raise ValueError(f"the runs of {place[0]} on {place[1]} differ in {what}; name one setting")
    return keys[0]
