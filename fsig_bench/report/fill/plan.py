"""Which runs a table lacks, and the words that make each; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.report.tables.model import Row, Table, TableCell
from fsig_bench.report.tables.spec import TableSpec


@dataclass(frozen=True, kw_only=True)
class FillRun:
    """One run that a table lacks."""

    row: str  # the method, as the table has it
    method: str
    dataset: str
    protocol: str
    k: int
    seed: int
    words: tuple[str, ...]  # in Hydra's grammar

    @property
    def samples(self) -> tuple[str, str, int, int]:
        """What names its samples: runs under two protocols share them."""
        return self.method, self.dataset, self.k, self.seed

    def __str__(self) -> str:
        return (
            f"{self.row} on {self.dataset}, k={self.k} seed={self.seed}, protocol {self.protocol}"
        )


def lacking_seeds(cell: TableCell, seeds: Sequence[int]) -> list[int]:
    """The planned seeds that a cell of ours has no run of; none for a gap that no run fills."""
    if cell.gap == "run":
        return list(seeds)
    done = {chance.seed for chance in cell.chances if chance.subset == 0}
    return [] if cell.gap else [seed for seed in seeds if seed not in done]


def run_words(
    spec: TableSpec, *, method: str, dataset: str, protocol: str, k: int, seed: int
) -> tuple[str, ...]:
    """The words of one run, with the table's own experiment."""
    experiment = spec.experiments.get(method)
    head = [f"experiment={experiment}"] if experiment else [f"draw={seed}"]
    return (
        *head,
        f"suite={spec.suite}",
        f"method={method}",
        f"dataset={dataset}",
        f"protocol={protocol}",
        f"k={k}",
        f"num_images={spec.num_images}",
        f"seed={seed}",
    )


def is_wanted(row: Row, run: Mapping[str, str], only: Mapping[str, Sequence[str]]) -> bool:
    """Whether a run is among those that the user asks for.

    Args:
        row: of the table; a method may be named as printed.
        run: its method, dataset, protocol and seed as texts.
        only: a key of `run` -> the values to keep; a key that is not there keeps all.
    """
    for key, values in only.items():
        names = {run[key], row.label} if key == "method" else {run[key]}
        if not names & set(values):
            return False
    return True


def runs_of(table: Table, spec: TableSpec, only: Mapping[str, Sequence[str]]) -> list[FillRun]:
    """The runs that a table lacks, each once: seed after seed, a target's protocols together.

    Raises:
        ValueError: `only` names something that the table does not have.
    """
    found: dict[tuple[str, ...], FillRun] = {}
    there: dict[str, set[str]] = {key: set() for key in only}
    for panel in table.panels:
        for row in panel.rows:
            for column, cell in zip(panel.columns, row.cells, strict=True):
                if column.kind == "paper" or not row.harness_method or not column.dataset:
                    continue
                names = {
                    "method": row.harness_method,
                    "dataset": column.dataset,
                    "protocol": column.protocol,
                }
                for seed in spec.seeds:
                    own = names | {"seed": str(seed)}
                    for key in only:
                        there[key] |= {own[key], row.label} if key == "method" else {own[key]}
                for seed in lacking_seeds(cell, spec.seeds):
                    own = names | {"seed": str(seed)}
                    if is_wanted(row, own, only):
                        words = run_words(spec, **names, k=column.shots, seed=seed)
                        run = FillRun(
                            row=row.label, **names, k=column.shots, seed=seed, words=words
                        )
                        found.setdefault(words, run)
    for key, values in only.items():
        if unknown := [value for value in values if value not in there[key]]:
            raise ValueError(
                f"{key}={unknown[0]}: table {spec.name} has {', '.join(sorted(there[key]))}"
            )
    return sorted(found.values(), key=lambda r: r.seed)
