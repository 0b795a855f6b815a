"""The interactive t-SNE plot of a run: its points, and sheets of the images that they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.plain import Record
from fsig_bench.pictures.tsne import ORDER
from fsig_bench.report.html.pictures import Sheet, Writer, make_sheet
from fsig_bench.report.html.plots import PLOT_WIDTH, Point, fit_to_plane, read_points

if TYPE_CHECKING:
    from torch import Tensor

# (role, indices, record) -> the sheet of these images, or why there is none
MakeSheet = Callable[[str, Sequence[int], Record], Sheet | str]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Points in the SVG plane and, by role, the sheet that their tiles are on."""

    points: tuple[Point, ...]
    size: tuple[int, int]  # of the plane
    sheets: Mapping[str, Sheet]
    total: int  # points of the figure that these are taken from
    missing: tuple[str, ...]  # why a role has no images

    @property
    def counts(self) -> dict[str, int]:
        return {r: n for r in ORDER if (n := sum(p.role == r for p in self.points))}


def load_images(role: str, indices: Sequence[int], record: Record) -> Tensor:
    """Images of a role by index, made or read as the run made or read them.

    Raises:
        ValueError, OSError: they cannot be had here; the message says why.
    """
    from fsig_bench.report.local_targets import build_images

    config = record["config"]
    if role == "source":
        if not config["suite"].get("source_images"):
            raise ValueError("the suite names no source images")
        loaded: Tensor = build_images(config["suite"]["source_images"]).load(indices)
        return loaded
    k, subset = record["k"], record["subset"]
    spec = {key: v for key, v in config["dataset"].items() if key != "fresh"}
    dataset = build_images(spec)
    if dataset.shot_names(k, subset) != record["shots"]:
        raise ValueError("the dataset here has other shots than the record names")
    if role == "shots":
        shots: Tensor = dataset.shots(k, subset)
        return shots[list(indices)]
    if config["protocol"].get("reference", "held_out") != "held_out":
        raise ValueError("the protocol's reference is not the plain held-out set")
    if hasattr(dataset, "reference_at"):
        some: Tensor = dataset.reference_at(indices)
        return some
    reference: Tensor | None = dataset.reference_images(k, subset)
    if reference is None or len(reference) <= max(indices):
        raise ValueError("the dataset here has another reference than the record")
    return reference[list(indices)]


def sheet_maker(write: Writer) -> MakeSheet:
    """Sheets of shots, source and target images, each made once; a reason where it cannot be."""
    from hydra.errors import HydraException

    known: dict[str, Sheet | str] = {}

    def make(role: str, indices: Sequence[int], record: Record) -> Sheet | str:
        config = record["config"]
        what = config["suite"].get("source_images") if role == "source" else config["dataset"]
        names = None if role == "source" else [record["k"], record["subset"], record["shots"]]
        rule = config["protocol"].get("reference") if role == "target" else None
        key = json.dumps([role, list(indices), what, names, rule], sort_keys=True)
        if key not in known:
            try:
                known[key] = make_sheet(load_images(role, indices, record), write)
            except (ValueError, OSError, HydraException) as error:
                known[key] = str(error).splitlines()[0] if str(error) else repr(error)
        return known[key]

    return make


def make_plot(
    folder: Path,
    record: Record,
    generated: Sheet | None,
    make: MakeSheet,
) -> Plot | None:
    """The plot of a run whose coordinates and samples are on disk; None otherwise."""
    path = folder / "tsne.csv"
    if generated is None or not path.exists():
        return None
    text = path.read_text()
    if not (found_points := read_points(text)):
        return None
    points, height = fit_to_plane(found_points)
    sheets: dict[str, Sheet] = {"generated": generated}
    missing = []
    out: list[Point] = []
    for role in ORDER:
        own = [p for p in points if p.role == role]
        if role == "generated":
            out += [replace(p, tile=p.index if p.index < generated.count else None) for p in own]
            continue
        found = make(role, [p.index for p in own], record) if own else "no points"
        if isinstance(found, Sheet):
            sheets[role] = found
            out += [replace(p, tile=i) for i, p in enumerate(own)]
        else:
            missing += [f"{role}: {found}"] if own else []
            out += own
    total = max(len(text.splitlines()) - 1, 0)
    return Plot(
        points=tuple(out),
        size=(PLOT_WIDTH, height),
        sheets=sheets,
        total=total,
        missing=tuple(missing),
    )
