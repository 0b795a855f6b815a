"""A study in Optuna: asks for settings, evaluates them, keeps a journal that outlives a kill.

Every trial's draws come from the study's seed and the trial's place, so that a study that was
killed goes on as it would have, and processes that share one try different settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from fsig_bench.api.files import make_folder, share_as_folder
from fsig_bench.api.seeding import derive
from fsig_bench.store.lock import is_held
from fsig_bench.store.store import Store
from fsig_bench.tune.problem import Evaluate
from fsig_bench.tune.space import Dimension, Point, Value, typed_values, whole_grid
from fsig_bench.tune.trials import (
    FinishedTrial,
    Part,
    finished_trial,
    objective,
    parts_of,
    ranked,
)

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    Distributions = dict[str, BaseDistribution]  # by key

MAX_REPEATS = 100  # suggestions in a row that were tried before; then the search ends


def optuna_package() -> ModuleType:
    """Optuna, quiet.

    Raises:
        ValueError: it is not there, or too old.
    """
    try:
        import optuna
        import optuna.storages.journal  # from 4 on
    except ImportError as error:
        raise ValueError(
            "tuning needs optuna 4 or later: pip install 'fsig-bench[optuna]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def reproducible_tpe(seed: int, startup: int) -> BaseSampler:
    """TPE whose random numbers come from the seed and the number of trials before.

    The first `startup` different settings are drawn at random. Trials whose process died do not
    count. Optuna's own sampler starts its random numbers anew with every process.
    """
    optuna = optuna_package()
    lost, base = optuna.trial.TrialState.FAIL, optuna.samplers.BaseSampler

    class ReproducibleTPE(base):  # type: ignore[misc,valid-type]
        def _sampler_at(self, study: OptunaStudy, trial: FrozenTrial, *more: str) -> BaseSampler:
            before = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number]
            place = sum(t.state != lost for t in before)
            repeats = sum(t.state != lost and "same_as" in t.user_attrs for t in before)
            drawn = derive(seed, "tune", place, *more) % 2**32
            return optuna.samplers.TPESampler(seed=drawn, n_startup_trials=startup + repeats)

        def infer_relative_search_space(
            self, study: OptunaStudy, trial: FrozenTrial
        ) -> Distributions:
            return self._sampler_at(study, trial).infer_relative_search_space(study, trial)

        def sample_relative(
            self, study: OptunaStudy, trial: FrozenTrial, search_space: Distributions
        ) -> dict[str, Value]:
            return self._sampler_at(study, trial).sample_relative(study, trial, search_space)

        def sample_independent(
            self,
            study: OptunaStudy,
            trial: FrozenTrial,
            param_name: str,
            param_distribution: BaseDistribution,
        ) -> Value:
            sampler = self._sampler_at(study, trial, param_name)
            return sampler.sample_independent(study, trial, param_name, param_distribution)

    return ReproducibleTPE()


def way_of_suggesting(space: Sequence[Dimension], *, trials: int, startup: int) -> str:
    """How the settings of so many trials come about, in words."""
    if whole_grid(space, trials) is not None:
        return "all points of the space"
    if trials <= startup:
        return "drawn at random"
    return f"the first {startup} drawn at random, the others suggested by TPE"


def distribution(d: Dimension) -> BaseDistribution:
    """A dimension as Optuna has it."""
    kinds = optuna_package().distributions
    if d.kind == "choice":
        return kinds.CategoricalDistribution(d.choices)
    if d.kind == "whole":
        return kinds.IntDistribution(int(d.low), int(d.high), log=d.log, step=d.step)
    return kinds.FloatDistribution(d.low, d.high, log=d.log)


@dataclass(frozen=True, kw_only=True)
class Study:
    """One search; processes with the same name and store share it."""

    name: str
    space: tuple[Dimension, ...]
    first: Point | None  # a point to begin with
    steps: int  # parts of a trial
    startup: int  # settings that are drawn at random before TPE suggests any
    seed: int
    store: Store

    @property
    def journal(self) -> Path:
        """The file that holds every trial."""
        return self.store.root / "tune" / f"{self.name}.journal"

    def open_study(self) -> OptunaStudy:
        """Optuna's study, made or continued."""
        optuna = optuna_package()
        make_folder(self.journal.parent)
        storages = optuna.storages
        file = storages.journal.JournalFileBackend(str(self.journal))
        storage = storages.JournalStorage(file)
        share_as_folder(self.journal)
        return optuna.create_study(
            storage=storage,
            study_name=self.name,
            sampler=reproducible_tpe(self.seed, self.startup),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
            load_if_exists=True,
        )

    def _lock(self, number: int | str) -> str:
        return f"tune-{self.name}-{number}"

    @contextmanager
    def _next_trial(self, study: OptunaStudy, trials: int) -> Iterator[Trial | None]:
        """The next trial, locked for as long as it is worked on; None when enough are there.

        A trial under way whose lock nobody holds belonged to a process that was killed.
        """
        states = optuna_package().trial.TrialState
        trial, holding = None, ExitStack()
        with self.store.locked(self._lock("ask"), what=f"study {self.name}"):
            for t in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                if not is_held(self.store.lock_path(self._lock(t.number))):
                    study.tell(t.number, state=states.FAIL)
            alive = [t for t in study.get_trials(deepcopy=False) if t.state != states.FAIL]
            new = [t for t in alive if "same_as" not in t.user_attrs]
            grid = whole_grid(self.space, trials)
            seen = [dict(t.user_attrs.get("words", {})) for t in alive]
            left = None if grid is None else [p for p in grid if self.typed_values(p) not in seen]
            if len(new) < trials and left != []:
                if begin := (left[0] if left else None if alive else self.first):
                    study.enqueue_trial(dict(begin))
                trial = study.ask({d.key: distribution(d) for d in self.space})
                trial.set_user_attr("words", self.typed_values(trial.params))
                lock = self.store.locked(self._lock(trial.number), what=f"trial {trial.number}")
                holding.enter_context(lock)
        with holding:
            yield trial

    def typed_values(self, point: Point) -> dict[str, str]:
        """A point as overrides."""
        return typed_values(self.space, point)

    def search(
        self, evaluate: Evaluate, trials: int, report: Callable[[FinishedTrial], None]
    ) -> bool:
        """Goes on until `trials` different settings are tried, by whichever process.

        Returns:
            False where the space gave no new settings before that.
        """
        states = optuna_package().trial.TrialState
        study, repeats = self.open_study(), 0
        while repeats < MAX_REPEATS:
            with self._next_trial(study, trials) as trial:
                if trial is None:
                    return True
                done = (states.COMPLETE, states.PRUNED)
                words = trial.user_attrs["words"]
                same = next(
                    (t for t in study.get_trials(states=done) if t.user_attrs["words"] == words),
                    None,
                )
                if same is not None:
                    repeats += 1
                    trial.set_user_attr("same_as", same.number)
                    pruned = same.state == states.PRUNED
                    study.tell(trial, None if pruned else same.value, state=same.state)
                    continue
                repeats = 0
                self._evaluate(study, trial, evaluate)
                report(finished_trial(study.trials[trial.number]))
        return False

    def _evaluate(self, study: OptunaStudy, trial: Trial, evaluate: Evaluate) -> None:
        import torch

        states = optuna_package().trial.TrialState
        words = trial.user_attrs["words"]
        lost = study.get_trials(states=(states.FAIL,))
        begun = [list(parts_of(t)) for t in lost if t.user_attrs.get("words") == words]
        seen: list[Part] = max(begun, key=lambda done: len(done), default=[])
        for n in range(len(seen)):
            trial.report(objective(seen[: n + 1]), n)
        try:
            for part in evaluate(words, len(seen)):
                seen.append(part)
                trial.set_user_attr("parts", [[part.of, part.value, part.check] for part in seen])
                trial.report(objective(seen), len(seen) - 1)
                if len(seen) < self.steps and trial.should_prune():
                    study.tell(trial, state=states.PRUNED)
                    return
        except (FloatingPointError, torch.OutOfMemoryError) as error:
            # Settings that cannot be used: pruned, so that the sampler turns away from them.
            trial.set_user_attr("said", str(error))
            study.tell(trial, state=states.PRUNED)
        except BaseException:
            study.tell(trial, state=states.FAIL)
            raise
        else:
            study.tell(trial, objective(seen))

    def results(self) -> list[FinishedTrial]:
        """The finished trials, best first; then those without all parts."""
        states = optuna_package().trial.TrialState
        found = self.open_study().get_trials(states=(states.COMPLETE, states.PRUNED))
        return ranked([finished_trial(t) for t in found if "same_as" not in t.user_attrs])
