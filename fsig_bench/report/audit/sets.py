"""Planted sets and sets of fresh real images, scored; every value is kept on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import torch
import yaml
from hydra.utils import instantiate
from torch import Tensor

from fsig_bench.api.places import CONF
from fsig_bench.api.plain import Json
from fsig_bench.console import brief_stages
from fsig_bench.faceworld.faults import Fault, Setting, fresh_images
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.fingerprint import marks
from fsig_bench.runner.keys import images_key, key_content
from fsig_bench.runner.score import score
from fsig_bench.store.keys import STAGE_VERSION, digest
from fsig_bench.store.store import Store

Values = Mapping[str, float]  # a metric's value by its name; NaN where it has none
REPEATS = 500_000  # fresh images from here on lie below further sets with a fault


@dataclass(frozen=True, kw_only=True)
class Dial:
    """One fault of a plan, conf/audit/PLAN.yaml."""

    name: str
    heading: str
    strengths: tuple[float, ...]  # weakest first
    columns: int  # images in a row of its picture
    spec: Json  # what builds the fault

    @cached_property
    def fault(self) -> Fault:
        """Plants the fault."""
        found: Fault = instantiate(self.spec, _convert_="all")
        return found


def read_plan(name: str, config_dir: Path | None = None) -> list[Dial]:
    """The faults of conf/audit/NAME.yaml, or of the same file in a folder of one's own.

    Raises:
        ValueError: there is no such file, or a fault lacks a key.
    """
    folders = [*([config_dir] if config_dir else []), CONF]
    files = [folder / "audit" / f"{name}.yaml" for folder in folders]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        known = sorted({p.stem for folder in folders for p in (folder / "audit").glob("*.yaml")})
        raise ValueError(f"plan={name}: choose one of {', '.join(known)}")
    dials = []
    for fault, node in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        if missing := [key for key in ("strengths", "fault") if key not in node]:
            raise ValueError(f"{path}: the fault {fault} has no {missing[0]}")
        dials.append(
            Dial(
                name=fault,
                heading=node.get("heading", fault),
                strengths=tuple(float(s) for s in node["strengths"]),
                columns=node.get("columns", 10),
                spec=node["fault"],
            )
        )
    return dials


def setting_of(cell: Cell, first: int) -> Setting:
    """Fresh images of a cell's target from an index on.

    Raises:
        ValueError: the target is not drawn from named factors.
    """
    domain = getattr(cell.dataset, "domain", None)
    if domain is None or cell.dataset.source_domain is None:
        raise ValueError(
            f"dataset={cell.dataset.name} holds no drawn faces; the audit plants its faults with "
            "the renderer: choose a dataset of suite=mini"
        )
    count = cell.samples.num_scored
    return Setting(
        domain=domain, source_domain=cell.dataset.source_domain, count=count, first=first
    )


def planted(cell: Cell, dial: Dial, strength: float, repeat: int = 0) -> Tensor:
    """The set with a fault, uint8 [n, 3, 64, 64]; each repeat has images and shots of its own.

    Those of one repeat lie below the sets of all faults and strengths.
    """
    own = with_shots_of(cell, repeat)
    shots = own.dataset.shots(own.shots.k, own.shots.subset)
    return dial.fault(_base(cell, repeat), shots, strength)


def with_shots_of(cell: Cell, repeat: int) -> Cell:
    """The cell with the shots that a repeat's sets are made of and scored with."""
    return replace(cell, shots=replace(cell.shots, subset=cell.shots.subset + repeat))


def _base(cell: Cell, repeat: int) -> Setting:
    first = REPEATS + cell.samples.num_scored * repeat if repeat else 0
    return setting_of(cell, first)


def scored(cell: Cell, metric: str, images: Tensor, store: Store) -> float:
    """One metric of the cell's protocol; NaN where it has no value."""
    protocol = replace(cell.protocol, metrics={metric: cell.protocol.metrics[metric]})
    with brief_stages():
        value = score(replace(cell, protocol=protocol), images, store)[0][metric]["value"]
    return math.nan if value is None else float(value)


def kept(cell: Cell, store: Store, what: Sequence[object], make: Callable[[], Tensor]) -> Values:
    """Every metric's value, once for all audits with the same images, settings and code.

    Args:
        cell: the target, the shots and the protocol.
        store: where values are kept.
        what: names the images, with all that decides them.
        make: the images; called only where a value is missing.
    """
    reference = images_key(str(cell.dataset.reference_fingerprint()), marks(cell.dataset_spec))
    place = [*what, cell.shots_fingerprint, reference, cell.seed, cell.precision.score]
    rules = {k: v for k, v in cell.protocol.spec.items() if k not in ("metrics", "name", "version")}
    images = cache(make)

    def value_of(name: str) -> float:
        metric = key_content([cell.protocol.metrics[name], rules])
        key = digest([STAGE_VERSION, "audit", place, metric])

        def compute() -> Tensor:
            return torch.tensor(scored(cell, name, images(), store), dtype=torch.float64)

        return float(store.cached_features(key, compute))

    return {name: value_of(name) for name in cell.protocol.metrics}


def floor_values(cell: Cell, store: Store, draw: int) -> Values:
    """Fresh real images, other ones for each draw, none of those below the planted sets."""
    setting = setting_of(cell, cell.samples.num_scored * (1 + draw))
    what = ["fresh", setting.domain, setting.count, setting.first]
    return kept(cell, store, what, lambda: fresh_images(setting))


def planted_values(
    cell: Cell, store: Store, dial: Dial, strength: float, repeat: int = 0
) -> Values:
    """A set with a fault."""
    setting = _base(cell, repeat)
    place = [setting.domain, setting.source_domain, setting.count]
    own = [setting.first] if repeat else []
    what = ["planted", key_content(dial.spec), strength, *place, *own]
    own_cell = with_shots_of(cell, repeat)
    return kept(own_cell, store, what, lambda: planted(cell, dial, strength, repeat))
