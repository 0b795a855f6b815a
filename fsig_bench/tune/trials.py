"""Finished trials of a search as plain values, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsig_bench.api.plain import JsonDict

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a search makes small, and how that is called."""

    text: str  # the objective in words
    uses: str  # what it looks at
    value: str  # of the objective, in tables and files
    check: str  # of what shows whether a method memorises
    parts: str  # of what a trial consists of


@dataclass(frozen=True, kw_only=True)
class Part:
    """The result of a part of a trial: a fold of the shots, or a cell of a development target."""

    of: tuple[int, ...]  # indices of the shots left out; or the cell's place and its subset
    value: float  # the objective
    check: float  # what shows whether the method memorises


def objective(seen: Sequence[Part]) -> float:
    """The mean of the objective over parts; lower is better."""
    return math.fsum(part.value for part in seen) / len(seen)


def mean_check(seen: Sequence[Part]) -> float:
    """The mean over parts of what shows whether the method memorises."""
    return math.fsum(part.check for part in seen) / len(seen)


@dataclass(frozen=True, kw_only=True)
class FinishedTrial:
    """One finished trial."""

    number: int
    state: str  # complete | pruned | failed
    words: Mapping[str, str]
    parts: tuple[Part, ...]
    reason: str  # why it failed
    seconds: float

    @property
    def value(self) -> float | None:
        """The objective over the parts that were done."""
        return objective(self.parts) if self.parts else None

    @property
    def check(self) -> float | None:
        """What shows whether the method memorises, over the parts that were done."""
        return mean_check(self.parts) if self.parts else None


def parts_of(trial: FrozenTrial) -> tuple[Part, ...]:
    """The parts that a trial of Optuna's holds, finished or not."""
    found = trial.user_attrs.get("parts", [])
    return tuple(Part(of=tuple(of), value=value, check=check) for of, value, check in found)


def finished_trial(trial: FrozenTrial) -> FinishedTrial:
    """A finished trial of Optuna's as a plain value."""
    found = trial.user_attrs
    return FinishedTrial(
        number=trial.number,
        state="failed" if "said" in found else trial.state.name.lower(),
        words=dict(found["words"]),
        parts=parts_of(trial),
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


def log_line(trial: FinishedTrial, aim: Aim) -> str:
    """A trial as one line of text."""
    words = " ".join(f"{k}={v}" for k, v in trial.words.items())
    if trial.state == "failed":
        return f"trial {trial.number}: {words}: failed: {trial.reason}"
    done = "" if trial.state == "complete" else f" (pruned after {len(trial.parts)} {aim.parts})"
    return (
        f"trial {trial.number}: {words}: {aim.value} {trial.value:.4f}, {aim.check} "
        f"{trial.check:.4f}, {trial.seconds:.0f} s{done}"
    )


def trials_table(title: str, trials: Sequence[FinishedTrial], aim: Aim) -> Table:
    """A row for each trial in the given order."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    for key in trials[0].words:
        table.add_column(key.removeprefix("method."), justify="right")
    for head in (f"{aim.value} ↓", aim.check, aim.parts, "s"):
        table.add_column(head, justify="right")
    table.add_column("")
    best = best_of(trials)
    for t in trials:
        table.add_row(
            str(t.number),
            *map(Text, t.words.values()),  # a list of a choice is no markup
            "-" if t.value is None else f"{t.value:.4f}",
            "-" if t.check is None else f"{t.check:.4f}",
            str(len(t.parts)),
            f"{t.seconds:.0f}",
            "" if t.state == "complete" else t.state,
            style="bold" if t is best else None,
        )
    return table


def trial_json(trial: FinishedTrial, aim: Aim) -> JsonDict:
    """A trial for the JSON file, without times, so that equal studies give equal files."""
    return {
        "number": trial.number,
        "state": trial.state,
        "settings": dict(sorted(trial.words.items())),
        _key(aim.value): trial.value,
        _key(aim.check): trial.check,
        aim.parts: [
            {"of": list(part.of), _key(aim.value): part.value, _key(aim.check): part.check}
            for part in trial.parts
        ],
        "reason": trial.reason,
    }


def _key(name: str) -> str:
    return name.replace(" ", "_")
