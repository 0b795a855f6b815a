"""Numbers that papers print: `results/published/*.csv` as checked, immutable rows.

Columns and how each number is known: `results/published/README.md`. What the printed names are in
this harness is data too: `results/published/names.yaml`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fsig_bench.api.places import PUBLISHED
from fsig_bench.api.plain import Json

FOLDER = PUBLISHED
PROVENANCE = {
    "read": "seen in the paper's text, in an image of its table, a figure, a log or an issue",
    "copied": "taken from another document that states it",
}
COLUMNS = (
    *("method", "source_domain", "target_domain", "shots", "metric", "value", "std", "family"),
    *("provenance", "paper", "year", "arxiv", "table", "notes", "discrepancy"),
)
REQUIRED = ("method", "source_domain", "target_domain", "paper", "table")


@dataclass(frozen=True, kw_only=True)
class Family:
    """Numbers that were scored alike."""

    protocol: str | None  # the harness's name of it
    comparable: bool  # within the family
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Names:
    """Printed names -> names of this harness; what is missing has no counterpart."""

    metrics: Mapping[str, str | None]
    domains: Mapping[str, str]
    methods: Mapping[str, str]
    sources: Mapping[str, str]  # there, absent or text (needs a text-to-image model)
    families: Mapping[str, Family]

    def scored_otherwise(self, family: str, protocol: str) -> str:
        """How numbers of a family were scored, where that is not known to be by a protocol.

        Args:
            family: of printed numbers.
            protocol: that ours were scored under.

        Returns:
            Words that follow "it was"; "" where both were scored alike.
        """
        known = self.families.get(family)
        own = known.protocol if known else None
        if own == protocol:
            return ""
        return f"scored as {own}" if own else "scored under no protocol that is known here"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One printed number. Names are as printed; `dataset`, `harness_*` are ours, or None."""

    method: str
    source_domain: str
    target_domain: str
    shots: int
    metric: str
    value: float
    std: float | None
    family: str
    provenance: str
    paper: str
    year: int
    arxiv: str | None
    table: str
    notes: str
    discrepancy: str  # another value for the same cell that is known
    harness_method: str | None
    dataset: str | None
    harness_metric: str | None

    @property
    def key(self) -> tuple[object, ...]:
        """What no two rows share: unlike families of one source stand side by side."""
        place = self.paper, self.table, self.method, self.source_domain, self.target_domain
        return (*place, self.shots, self.metric, self.family)


def load_names(path: Path = FOLDER / "names.yaml") -> Names:
    """The map of names.

    Raises:
        ValueError: a part is missing, or a family lacks a field.
    """
    from omegaconf import OmegaConf

    node: Any = OmegaConf.to_container(OmegaConf.load(path))
    try:
        families = {k: Family(**v) for k, v in node["families"].items()}
        maps = {k: node[k] for k in ("metrics", "domains", "methods", "sources")}
        return Names(**maps, families=families)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: needs metrics, domains, methods, sources and families, each family with "
            f"protocol, comparable and meaning ({error!r})"
        ) from error


def one_of(value: str, known: Json, column: str) -> str:
    """The value, once it is known."""
    if value not in known:
        raise ValueError(f"{column} {value!r} is not known; choose one of {', '.join(known)}")
    return value


def finite(text: str, column: str) -> float:
    """A number that is neither missing nor infinite."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{column} {text!r} is not a finite number")
    return number


def whole(text: str, column: str) -> int:
    """A positive whole number."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{column} {text!r} is not a positive whole number")
    return int(text)


def parse(row: Mapping[str, str], names: Names) -> Published:
    """One checked row.

    Raises:
        ValueError: a field is empty, not a number, or not a known name.
    """
    for column in REQUIRED:
        if not row[column].strip():
            raise ValueError(f"{column} is empty")
    std = finite(row["std"], "std") if row["std"] else None
    if std is not None and std < 0:
        raise ValueError(f"std {std} is negative")
    metric = one_of(row["metric"], names.metrics, "metric")
    return Published(
        method=row["method"],
        source_domain=one_of(row["source_domain"], names.sources, "source_domain"),
        target_domain=row["target_domain"],
        shots=whole(row["shots"], "shots"),
        metric=metric,
        value=finite(row["value"], "value"),
        std=std,
        family=one_of(row["family"], names.families, "family"),
        provenance=one_of(row["provenance"], PROVENANCE, "provenance"),
        paper=row["paper"],
        year=whole(row["year"], "year"),
        arxiv=row["arxiv"] or None,
        table=row["table"],
        notes=row["notes"],
        discrepancy=row["discrepancy"],
        harness_method=names.methods.get(row["method"]),
        dataset=names.domains.get(row["target_domain"]),
        harness_metric=names.metrics[metric],
    )


def read_file(path: Path, names: Names) -> list[Published]:
    """All rows of one file, in its order.

    Raises:
        ValueError: the columns or a row are wrong; the message names file and line.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path}: columns are {reader.fieldnames}; expected {list(COLUMNS)}")
        rows = []
        for row in reader:
            try:
                if None in row or None in row.values():
                    raise ValueError(f"not {len(COLUMNS)} fields; quote fields that hold commas")
                rows.append(parse(row, names))
            except ValueError as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    return rows


@cache
def load_published(folder: Path = FOLDER) -> tuple[Published, ...]:
    """Every published number, files in alphabetical order.

    Raises:
        ValueError: a file is malformed, there is none, or two rows give the same number.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise ValueError(f"no *.csv in {folder}; restore it (git checkout results/published)")
    names = load_names(folder / "names.yaml")
    rows = [row for path in files for row in read_file(path, names)]
    first: dict[tuple[object, ...], Published] = {}
    for row in rows:
        if row.key in first:
            raise ValueError(
                f"{row.paper}, {row.table}: {row.method} on {row.target_domain}, {row.metric}, is "
                f"there twice ({first[row.key].value} and {row.value}); keep one, and write the "
                "other into its column discrepancy"
            )
        first[row.key] = row
    return tuple(rows)
