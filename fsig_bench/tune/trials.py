"""Finished trials of a search as plain values, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsig_bench.api.plain import JsonDict
from fsig_bench.tune.leave_out import Fold, mean_kept_distance, objective

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class FinishedTrial:
    """One finished trial."""

    number: int
    state: str  # complete | pruned | failed
    words: Mapping[str, str]
    folds: tuple[Fold, ...]
    reason: str  # why it failed
    seconds: float

    @property
    def value(self) -> float | None:
        """The objective over the folds that were done."""
        return objective(self.folds) if self.folds else None

    @property
    def kept_distance(self) -> float | None:
        """The distance from the shots adapted to."""
        return mean_kept_distance(self.folds) if self.folds else None


def folds_of(trial: FrozenTrial) -> tuple[Fold, ...]:
    """The folds that a trial of Optuna's holds, finished or not."""
    found = trial.user_attrs.get("folds", [])
    return tuple(
        Fold(held=tuple(h), left_out_distance=out, kept_distance=kept) for h, out, kept in found
    )


def finished_trial(trial: FrozenTrial) -> FinishedTrial:
    """A finished trial of Optuna's as a plain value."""
    found = trial.user_attrs
    return FinishedTrial(
        number=trial.number,
        state="failed" if "said" in found else trial.state.name.lower(),
        words=dict(found["words"]),
        folds=folds_of(trial),
        reason=found.get("said", ""),
        seconds=trial.duration.total_seconds() if trial.duration else 0.0,
    )


def best_of(trials: Sequence[FinishedTrial]) -> FinishedTrial | None:
    """The complete trial with the smallest objective; of equals the first."""
    complete = [t for t in trials if t.state == "complete"]
    return min(complete, key=lambda t: (t.value, t.number), default=None)


def ranked(trials: Sequence[FinishedTrial]) -> list[FinishedTrial]:
    """Complete trials, best first; then the pruned ones, then the failed ones."""
    order = ("complete", "pruned", "failed")
    return sorted(trials, key=lambda t: (order.index(t.state), t.value or 0.0, t.number))


def log_line(trial: FinishedTrial) -> str:
    """A trial as one line of text."""
    words = " ".join(f"{k}={v}" for k, v in trial.words.items())
    if trial.state == "failed":
        return f"trial {trial.number}: {words}: failed: {trial.reason}"
    done = "" if trial.state == "complete" else f" (pruned after {len(trial.folds)} folds)"
    return (
        f"trial {trial.number}: {words}: left out {trial.value:.4f}, adapted to "
        f"{trial.kept_distance:.4f}, {trial.seconds:.0f} s{done}"
    )


def trials_table(title: str, trials: Sequence[FinishedTrial]) -> Table:
    """A row for each trial in the given order."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    for key in trials[0].words:
        table.add_column(key.removeprefix("method."), justify="right")
    for head in ("left out ↓", "adapted to", "folds", "s"):
        table.add_column(head, justify="right")
    table.add_column("")
    best = best_of(trials)
    for t in trials:
        table.add_row(
            str(t.number),
            *map(Text, t.words.values()),  # a list of a choice is no markup
            "-" if t.value is None else f"{t.value:.4f}",
            "-" if t.kept_distance is None else f"{t.kept_distance:.4f}",
            str(len(t.folds)),
            f"{t.seconds:.0f}",
            "" if t.state == "complete" else t.state,
            style="bold" if t is best else None,
        )
    return table


def trial_json(trial: FinishedTrial) -> JsonDict:
    """A trial for the JSON file, without times, so that equal studies give equal files."""
    return {
        "number": trial.number,
        "state": trial.state,
        "settings": dict(sorted(trial.words.items())),
        "left_out": trial.value,
        "adapted_to": trial.kept_distance,
        "folds": [
            {"held": list(f.held), "left_out": f.left_out_distance, "adapted_to": f.kept_distance}
            for f in trial.folds
        ],
        "reason": trial.reason,
    }
